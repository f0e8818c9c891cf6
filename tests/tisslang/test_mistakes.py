"""What is said of scripts, and of which characters: each script of mistakes.txt, with carets below what is marked.

Scripts are separated by `---`. Below a line stand the marks of what is wrong with it, in order: carets, or a bar
where something is missing between two characters, and the code. Nothing else may be said.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.analysis.checker import check
from quanta_tissu.tisslang.analysis.imports import imported_tasks
from quanta_tissu.tisslang.diagnostics.catalogue import MISTAKES
from quanta_tissu.tisslang.diagnostics.diagnostic import in_order
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.parser import parse

CHUNKS = (Path(__file__).parent / "mistakes.txt").read_text(encoding="utf-8").split("\n---\n")
_MARK = re.compile(r"( *)(\^+|\|) ([EW]\d{3})")


def refuse(path):
    raise ScriptError(f"{path} is not there")


def unmarked(chunk: str) -> str:
    return "\n".join(line for line in chunk.splitlines() if not _MARK.fullmatch(line))


def marked(text: str) -> str:
    """A script with marks below what is said of it."""
    source = SourceFile(text)
    script = parse(source)
    tasks, missing = imported_tasks(script, refuse)
    lines: dict[int, list[str]] = {}
    for one in in_order([*script.diagnostics, *missing, *check(script, tasks)]):
        at = source.position(one.span.start)
        width = min(one.span.end, source.line_span(at.line).end) - one.span.start
        mark = f"{' ' * (at.column - 1)}{'^' * width or '|'} {one.code}"
        lines.setdefault(at.line, []).append(mark)
    return "\n".join(
        line
        for number in range(1, source.line_count + 1)
        for line in (source.line_text(number), *lines.get(number, []))
    )


@pytest.mark.parametrize("chunk", CHUNKS, ids=lambda one: one.splitlines()[0][:40])
def test_the_right_characters_are_marked(chunk):
    assert marked(unmarked(chunk)) == chunk.rstrip("\n")


def test_every_mistake_of_a_script_is_among_them():
    """But what is too deep, which would be too long to read here."""
    said = {mark[3] for chunk in CHUNKS for line in chunk.splitlines() if (mark := _MARK.fullmatch(line))}
    assert {one.code for one in MISTAKES if one.code[0] in "EW"} - said == {"E019"}
