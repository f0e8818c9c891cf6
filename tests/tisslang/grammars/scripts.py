"""Scripts that every grammar has to take: those of the reference, of the table of commands, of the examples."""

from __future__ import annotations

import re
from pathlib import Path

from quanta_tissu.tisslang.diagnostics.catalogue import MISTAKES
from quanta_tissu.tisslang.syntax.commands import COMMANDS
from tests.tisslang.syntax.scripts import GOOD

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "tisslang.md").read_text(encoding="utf-8")

RIGHT: dict[str, str] = {
    "the good one": GOOD,
    **{command.keyword: command.example + "\n" for command in COMMANDS},
    **{mistake.code: mistake.right + "\n" for mistake in MISTAKES},
    **{
        f"docs/tisslang.md, {number}": snippet
        for number, snippet in enumerate(re.findall(r"^```tiss\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    },
    **{
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "examples").rglob("*.tiss"))
    },
}

WRONG: dict[str, str] = {
    mistake.code: mistake.wrong + "\n" for mistake in MISTAKES if "E001" <= mistake.code < "E100"
}
"""What cannot be read; what can be read and means nothing is no matter of grammars."""


def without_heredocs(text: str) -> str:
    """A script without the texts of its heredocs, as the grammar for people says that they are to be taken out."""
    lines, kept, asked = text.splitlines(keepends=True), [], []
    for line in lines:
        if asked:
            indented, tag = asked[0]
            bare = line.rstrip("\r\n")
            if (bare.lstrip(" \t") if indented else bare) in (tag, f"{tag}>>"):
                asked.pop(0)
            continue
        kept.append(line)
        asked += [(dash == "-", tag) for dash, tag in re.findall(r"<<(-?)'?(\w+)'?", line.partition("#")[0])]
    assert not asked
    return "".join(kept)
