"""Which names are one and the same, wherever they stand."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslang.analysis.names import names_of
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.parser import parse


def places(text):
    """Of each variable: its name, and the lines on which it stands; a star where it gets a value."""
    source = SourceFile(text)
    return [
        (one.name, [f"{source.position(at.span.start).line}{'*' * at.defines}" for at in one.places])
        for one in names_of(parse(source)).variables
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('VAR a = 1\nLOG "{{a.b[0] | upper}}"', [("a", ["1*", "2"])]),
        ('READ "f" AS a\nWRITE "{{a}}" a', [("a", ["1*", "2", "2"])]),
        ("VAR a = 1\nVAR a = a + 1", [("a", ["1*", "2*", "2"])]),
        ("IF x.y == 1 {\n VAR a = 1\n} ELSE IF a == 2 {\n}\nLOG a", [("x", ["1"]), ("a", ["2*", "3", "5"])]),
        ("VAR i = 1\nFOR i IN [i] {\n LOG i\n}\nLOG i", [("i", ["1*", "2", "5"]), ("i", ["2*", "3"])]),
        ("FOR i IN [1] {\n VAR a = i\n}\nLOG a", [("i", ["1*", "2"]), ("a", ["2*", "4"])]),
        ("TRY {\n LOG e\n} CATCH AS e {\n LOG e\n} FINALLY {\n LOG e\n}", [("e", ["3*", "4"]), ("e", ["2", "6"])]),
        ("TRY {\n} FINALLY {\n VAR a = 1\n}", [("a", ["3*"])]),
        (
            'VAR a = 1\nDEFINE_TASK "t"(a, b) {\n LOG a\n VAR c = b\n}\nCALL "t"(a, 2)',
            [("a", ["1*", "6"]), ("a", ["2*", "3"]), ("b", ["2*", "4"]), ("c", ["4*"])],
        ),
        (
            'RETRY MAX n {\n VAR a = 1\n} FIX_WITH PROMPT_AGENT "{{failure}}{{a}}" INTO a',
            [("n", ["1"]), ("failure", ["3"]), ("a", ["2*", "3", "3*"])],
        ),
        ('INSERT_DOC "c" FROM_VAR a INTO id', [("a", ["1"]), ("id", ["1*"])]),
        ('RUN "x"\nLOG LAST_RUN.STDOUT\nSET_BUDGET COST = 1\nLOG COST', []),
        (
            'STEP "{{a}}" {\n}\nCHOOSE b {\n OPTION "o" {\n  LOG c\n }\n}',
            [("a", ["1"]), ("b", ["3"]), ("c", ["5"])],
        ),
    ],
)
def test_the_same_variable_is_one_symbol(text, expected):
    assert sorted(places(text)) == sorted(expected)


@pytest.mark.parametrize("text", ["STEP {\n VAR a = 1\n LOG a\n", 'STEP "s" {\n VAR a = 1\n LOG\n LOG a\n}}\n'])
def test_broken_scripts_have_names_too(text):
    [(name, found)] = places(text)
    assert (name, len(found)) == ("a", 2)


class TestVisible:
    def visible(self, text):
        before, _, after = text.partition("¦")
        return set(names_of(parse(SourceFile(before + after))).visible_at(len(before)))

    def test_variables_with_a_value_before(self):
        assert self.visible("VAR a = 1\nLOG ¦1\nVAR b = 2") == {"a"}

    def test_in_a_task_only_its_own(self):
        assert self.visible('VAR a = 1\nDEFINE_TASK "t"(p) {\n VAR x = 1\n LOG ¦1\n}') == {"p", "x"}

    def test_of_blocks_only_in_them(self):
        assert self.visible("FOR i IN [1] {\n LOG ¦1\n}") == {"i"}
        assert self.visible("FOR i IN [1] {\n}\nLOG ¦1") == set()

    def test_failure_in_the_prompt_of_a_correction(self):
        assert "failure" in self.visible('RETRY MAX 2 {\n} FIX_WITH PROMPT_AGENT "a ¦ b"')


def test_tasks_calls_and_holes_are_found():
    table = names_of(parse(SourceFile('DEFINE_TASK "t"(a) {\n LOG "{{a}}"\n}\nCALL "t"("{{b}}")')))
    assert [one.title.plain for one in table.titles] == ["t", "t"]
    assert len(table.holes) == 2
    assert table.variable_at(0) is None
