"""`tissu db shell`."""

from __future__ import annotations

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from quanta_tissu.cli.db.shell import completer


def test_statements_and_commands_come_from_a_pipe(tissu, notes, typed):
    typed(
        "-- a comment\n\nSELECT title FROM notes WHERE stars = 3;\n.collections\n.indexes notes\n"
        ".get notes third\n.search notes first\n.json\n.get notes third\n.help\n.quit\nSELECT nothing"
    )
    outcome = tissu("db", "shell", notes)
    assert (outcome.code, outcome.err) == (0, "")
    for part in (
        "A first note",
        "documents",
        "title",
        '"name": "Ada"',
        "words: place 1",
        "lines of JSON",
        ".search",
    ):
        assert part in outcome.out
    assert '"author": {"name": "Ada"}' in outcome.out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("SELEC", "no statement"),
        (".nothing", "there is no command .nothing"),
        (".get notes", ".get takes COLLECTION ID"),
        (".help me", ".help takes nothing"),
        (".get notes none", "there is no document"),
    ],
)
def test_the_first_error_ends_a_pipe(tissu, notes, typed, line, says):
    typed(f"{line}\nDELETE FROM notes\n")
    outcome = tissu("db", "shell", notes)
    assert outcome.code == 1
    assert says in outcome.err
    assert "A first note" in tissu("db", "query", notes, "SELECT title FROM notes").out


def test_what_is_not_there_is_said_in_words(tissu, notes, typed, tmp_path):
    empty = str(tmp_path / "empty.db")
    tissu("db", "create", empty)
    typed(".collections\n.indexes nowhere\n")
    outcome = tissu("db", "shell", empty)
    assert outcome.out == "no collections yet\n"
    assert "there is no collection 'nowhere'" in outcome.err
    tissu("db", "put", empty, "plain", "{}")
    typed(".indexes plain\n")
    assert tissu("db", "shell", empty).out == "plain has no indexes\n"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sel", ["SELECT"]),
        ("SELECT author.n", ["author.name"]),
        ("SELECT title FROM no", ["notes", "NOT"]),
        (".co", [".collections"]),
        ("", []),
    ],
)
def test_the_tab_key_offers_keywords_collections_and_fields(line, offered):
    words = ["notes", "author.name", "SELECT", "NOT", ".collections"]
    found = completer(lambda: words).get_completions(Document(line), CompleteEvent())
    assert [one.text for one in found] == offered


def test_in_a_terminal_errors_are_shown_and_it_goes_on(tissu, notes, typed, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    typed("")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("SELEC\nSELECT title FROM notes\n\x03.quit\n")
        outcome = tissu("db", "shell", notes)
    assert outcome.code == 0
    assert "no statement of TissQL" in outcome.err
    assert "Wholly else" in outcome.out
    assert "SELECT title FROM notes" in (tmp_path / "tissu" / "db_history").read_text()


def test_the_end_of_input_leaves(tissu, notes, typed, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    typed("")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("\x04")
        assert tissu("db", "shell", notes).code == 0


def test_the_line_of_a_pipe_that_fails_is_named(tissu, notes, typed):
    typed("SELECT title FROM notes\n\nSELECT nothing\nDELETE FROM notes\n")
    outcome = tissu("db", "shell", notes)
    assert outcome.code == 1
    assert outcome.err.startswith("line 3 of standard input cannot be done, nor what comes after it:\nerror: ")
    assert "A first note" in tissu("db", "query", notes, "SELECT title FROM notes").out


def test_a_line_that_is_no_text(tissu, notes, typed):
    typed(b"SELECT '\xff' FROM notes\n")
    outcome = tissu("db", "shell", notes)
    assert outcome.code == 1
    assert "line 1 is not UTF-8" in outcome.err
