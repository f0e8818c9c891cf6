from __future__ import annotations

import re

import pytest

from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.commands import BY_KEYWORD, COMMANDS
from quanta_tissu.tisslang.syntax.parser import parse
from quanta_tissu.tisslang.syntax.templates import template


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.keyword)
def test_what_is_filled_in_can_be_read(command):
    text = re.sub(r"\$\{\d+\|(\w+)[^}]*\}", r"\1", template(command))
    text = re.sub(r"\$\{\d+:(\w+)\}", r"\1", text).replace("$0", "")
    assert [one.code for one in parse(SourceFile(text)).diagnostics if one.code != "E011"] == []


def test_places_are_numbered():
    assert template(BY_KEYWORD["FOR"]) == "FOR ${1:name} IN ${2:items} {\n    $0\n}"
    assert template(BY_KEYWORD["TASK"]) == 'TASK "${1:title}" {\n    $0\n}'
