"""The table of commands, held against what is made from it."""

from __future__ import annotations

import dataclasses
from typing import get_type_hints

import pytest

from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.commands import BY_KEYWORD, CLAUSES, COMMANDS, RESERVED
from quanta_tissu.tisslang.syntax.parser import parse
from quanta_tissu.tisslang.syntax.shapes import Many, Maybe, Word

EACH = pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.keyword)


def words(parts):
    for part in parts:
        if isinstance(part, Word):
            yield part.text
        elif isinstance(part, Maybe | Many):
            yield from words(part.parts)


@EACH
def test_fields_are_those_of_the_statement(command):
    own = {one.name for one in dataclasses.fields(command.make)} - {"span", "keyword"}
    assert set(command.fields) == own


@EACH
def test_the_example_is_right_and_uses_the_command(command):
    script = parse(SourceFile(command.example))
    assert script.diagnostics == ()
    assert command.make in {type(node.statement) for node in script.tree.walk()}


@EACH
def test_what_may_be_left_out_may_be_none_or_empty(command):
    hints = get_type_hints(command.make)
    for part in command.parts:
        if isinstance(part, Maybe | Many):
            continue
        field = getattr(part, "field", None)
        if field is not None and type(None) in getattr(hints[field], "__args__", ()):
            pytest.fail(f"{field} of {command.keyword} is always there, but may be None")


def test_words_after_the_first_are_all_known():
    found = {word for command in COMMANDS for word in words(command.parts)}
    assert found - set(BY_KEYWORD) == CLAUSES
    assert found <= RESERVED


def test_every_statement_is_in_the_table():
    made = {command.make.__name__ for command in COMMANDS} | {"Branch", "Directive"}
    assert made == {one.__name__ for one in ast.Statement.__subclasses__()}
