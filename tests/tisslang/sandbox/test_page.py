"""What docs/sandbox.md shows of files and transactions works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

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
