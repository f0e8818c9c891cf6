"""One mistake costs one statement: what is intact is still found."""

from __future__ import annotations

from collections import Counter

import pytest

from quanta_tissu.tisslang.diagnostics.diagnostic import Severity
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.parser import parse
from quanta_tissu.tisslang.syntax.tree import Script
from tests.tisslang.syntax.scripts import BREAKS, GOOD


def statements(script: Script) -> Counter[tuple[str, str]]:
    """Kinds of statements, each with the first line of its text."""
    found = Counter()
    for node in script.tree.walk():
        if node.statement is not None:
            found[type(node.statement).__name__, script.text(node).splitlines()[0].strip()] += 1
    return found


def broken(old: str, new: str) -> str:
    assert old in GOOD, old
    return GOOD.replace(old, new, 1)


def intact(old: str, new: str) -> tuple[Counter, Counter]:
    """Statements whose lines a break has not touched, and those of them that are found."""
    lines = {line.strip() for line in broken(old, new).splitlines()}
    good = statements(parse(SourceFile(GOOD)))
    untouched = Counter({one: n for one, n in good.items() if any(one[1] in line for line in lines)})
    return untouched, untouched & statements(parse(SourceFile(broken(old, new))))


class TestBrokenScripts:
    @pytest.mark.parametrize(("old", "new"), BREAKS)
    def test_is_reported_and_costs_little(self, old, new):
        script = parse(SourceFile(broken(old, new)))
        errors = [one for one in script.diagnostics if one.severity is Severity.ERROR]
        assert 1 <= len(errors) <= 4
        untouched, found = intact(old, new)
        assert found.total() >= 0.7 * untouched.total()

    def test_nineteen_of_twenty_intact_statements_are_found_on_average(self):
        assert len(BREAKS) >= 40
        shares = []
        for old, new in BREAKS:
            untouched, found = intact(old, new)
            shares.append(found.total() / untouched.total())
        assert sum(shares) / len(shares) >= 0.95

    def test_the_good_script_has_no_mistake(self):
        script = parse(SourceFile(GOOD))
        assert script.diagnostics == ()
        assert sum(statements(script).values()) == sum(1 for node in script.tree.walk() if node.statement)


class TestNeighbours:
    """What cannot be read takes nothing of its neighbours with it."""

    def test_a_brace_of_a_value_does_not_end_the_block(self):
        script = parse(SourceFile('STEP "a" {\n    LOG {a 1}\n    LOG 2\n}\n'))
        assert [one.code for one in script.diagnostics] == ["E008"]
        assert ("Log", "LOG 2") in statements(script)

    def test_an_operator_at_the_end_of_a_line_does_not_take_the_next_statement(self):
        script = parse(SourceFile("LOG 1 +\nLOG 2\n"))
        assert [one.code for one in script.diagnostics] == ["E008"]
        assert ("Log", "LOG 2") in statements(script)
