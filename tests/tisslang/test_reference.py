"""The language's reference says what is so: its scripts are right and well written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quanta_tissu.tisslang.analysis.checker import check
from quanta_tissu.tisslang.diagnostics.diagnostic import Severity
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.formatter import format_script
from quanta_tissu.tisslang.syntax.parser import parse

PAGE = Path(__file__).parents[2] / "docs" / "tisslang.md"
SNIPPETS = re.findall(r"^```tiss\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_there_are_snippets():
    assert len(SNIPPETS) > 60


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_are_right_and_well_written(snippet):
    script = parse(SourceFile(snippet))
    assert [one.message for one in script.diagnostics] == []
    errors = [one.message for one in check(script) if one.severity is Severity.ERROR and one.code != "E114"]
    assert errors == []
    assert format_script(script) == snippet
