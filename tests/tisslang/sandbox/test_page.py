"""What docs/sandbox.md shows works as it stands there, and what it claims is what is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tisslang.sandbox.process_attempts import ATTEMPTS

PAGE = Path(__file__).parents[3] / "docs" / "sandbox.md"


def test_the_examples_of_files_and_transactions_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    page = PAGE.read_text(encoding="utf-8")
    chapters = [page.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in ("Files", "Transactions")]
    examples = [
        example for chapter in chapters for example in re.findall(r"```python\n(.*?)```", chapter, re.DOTALL)
    ]
    assert len(examples) == 2
    monkeypatch.chdir(tmp_path)
    scope = {}
    for example in examples:
        exec(example, scope)
    assert (tmp_path / "out" / "poem.txt").read_text() == "Violets are blue\n"
    assert "kind='M', path='out/poem.txt'" in capsys.readouterr().out


@pytest.mark.usefixtures("every_level")
def test_the_example_of_commands_runs(tmp_path, monkeypatch):
    chapter = PAGE.read_text(encoding="utf-8").split("\n## Commands\n")[1]
    (example,) = re.findall(r"```python\n(.*?)```", chapter, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert list(tmp_path.iterdir()) == []


def test_the_table_of_attempts_names_each_with_the_levels_that_stop_it():
    chapter = PAGE.read_text(encoding="utf-8").split("\n## Commands\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (yes|no|undone|noticed) \| (yes|no) \|$", chapter, re.MULTILINE)
    assert rows == [(one.name, one.claimed("landlock"), one.claimed("bwrap")) for one in ATTEMPTS]
