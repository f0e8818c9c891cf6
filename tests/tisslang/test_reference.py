"""The language's reference says what is so: its scripts are right, well written, and do what the page says."""

from __future__ import annotations

import pytest
import yaml

from quanta_tissu import tissdb
from quanta_tissu.cli.app import run as tissu
from quanta_tissu.tisslang.analysis.checker import check
from quanta_tissu.tisslang.diagnostics.catalogue import MISTAKES
from quanta_tissu.tisslang.diagnostics.diagnostic import Severity
from quanta_tissu.tisslang.engine.program import read_program
from quanta_tissu.tisslang.running.lifecycle import Options, start
from quanta_tissu.tisslang.running.mock import MockPerformer
from quanta_tissu.tisslang.running.people import Nobody, Prepared
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.commands import COMMANDS
from quanta_tissu.tisslang.syntax.formatter import format_script
from quanta_tissu.tisslang.syntax.parser import parse
from tests.tisslang.engine.trying import Watching
from tests.tisslang.snippets import PAGE, Snippet, snippets

EACH = pytest.mark.parametrize("snippet", snippets(), ids=lambda one: one.name)

_IN_THEIR_WORLDS = {one.right for one in MISTAKES if one.code.startswith("R")}  # engine/test_failure.py runs them
RUN_HERE = [one for one in snippets() if one.text.rstrip("\n") not in _IN_THEIR_WORLDS]

SHELL = {"^echo hello": "hello\n", "^false": 1, "": ""}
"""What commands of the snippets write, where there is no shell; all end with 0 but `false`."""


def test_there_are_snippets():
    assert len(snippets()) > 60


@EACH
def test_snippets_are_right_and_well_written(snippet: Snippet):
    script = parse(SourceFile(snippet.text))
    assert [one.message for one in script.diagnostics] == []
    errors = [one.message for one in check(script) if one.severity is Severity.ERROR and one.code != "E114"]
    assert errors == []
    assert format_script(script) == snippet.text


@pytest.mark.parametrize("snippet", RUN_HERE, ids=lambda one: one.name)
def test_snippets_run_on_their_own(snippet: Snippet, tmp_path):
    """In memory: the interpreter, the journal and the budgets are real, files and commands are not."""
    files = dict(snippet.files)
    mock = MockPerformer(
        files=files,
        commands=dict(SHELL),
        answers=list(snippet.model),
        rows=[list(rows) for rows in snippet.database.values()],
    )
    watcher = Watching()
    program = read_program(
        SourceFile(snippet.text, "plan.tiss"), lambda path: SourceFile(snippet.files[path.name], str(path))
    )
    ending = start(
        program,
        tmp_path,
        Options(sandbox="bwrap"),
        doer=lambda journal, options: mock,
        person=Prepared(tuple(snippet.people), Nobody(), "a reader"),
        watcher=watcher,
    )
    assert ending.status == snippet.ends, ending.failure
    if snippet.logs is not None:
        assert watcher.logged == snippet.logs
    assert {name: files.get(name) for name in snippet.after} == snippet.after


@pytest.mark.slow
@EACH
def test_snippets_run_for_real(snippet: Snippet, tmp_path, monkeypatch, capsys):
    """As a reader runs them: `tissu run`, in the best sandbox of the machine, with real files and commands."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name, text in snippet.files.items():
        (project / name).write_text(text)
    (project / "plan.tiss").write_text(snippet.text)
    (tmp_path / "answers.yaml").write_text(yaml.safe_dump(snippet.model or ["an answer"]))
    with tissdb.open(tmp_path / "notes.db") as database:
        for name, documents in snippet.database.items():
            for document in documents:
                database[name].insert(document)
    options = [
        "--model",
        f"mock:{tmp_path}/answers.yaml",
        "--database",
        f"{tmp_path}/notes.db",
        "--unattended",
        "wait",
    ]
    code = tissu(["run", "plan.tiss", *options, *(part for one in snippet.people for part in ("--answer", one))])
    said = capsys.readouterr()
    assert code == {"done": 0, "failed": 1, "paused": 75}[snippet.ends], said.err
    if snippet.logs is not None:
        assert said.out.splitlines() == snippet.logs
    for name, text in snippet.after.items():
        path = project / name
        assert (path.read_text() if path.exists() else None) == text


class TestMistakes:
    """The page shows each mistake as it is said."""

    def test_every_mistake_and_every_command_is_on_the_page(self):
        page = PAGE.read_text(encoding="utf-8")
        for mistake in MISTAKES:
            assert f"\n### {mistake.code}: {mistake.title}\n" in page
        for command in COMMANDS:
            assert f"\n### {command.keyword}\n" in page
