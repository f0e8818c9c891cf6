from __future__ import annotations

import pytest

from quanta_tissu.tisslang.running.mock import MockPerformer
from tests.tisslang.engine.trying import folder, run

FILES = {"a.txt": "text", "empty.txt": ""}


def value(expression, before=""):
    with folder() as root:
        ending = run(f"{before}VAR v = {expression}", root, mock=MockPerformer(dict(FILES), commands={"": "out"}))
    assert ending.status == "done", ending.failure
    return ending.variables["v"]


def failure(text):
    with folder() as root:
        ending = run(text, root, mock=MockPerformer(dict(FILES), commands={"": "out"}))
    assert ending.status == "failed"
    return ending.failure


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 - 4", -1),
        ("-(2 + 1)", -3),
        ("1.5h", 5400.0),
        ('"a" + 1 + 2', "a12"),
        ("[1] + [2]", [1, 2]),
        ('{a: [1, {b: "c"}]}.a[1].b', "c"),
        ('"abc"[-1]', "c"),
        ("1 < 2 AND NOT 2 < 1", True),
        ("1 == 1.0 OR 1 == true", True),
        ("1 == true", False),
        ('"abc" CONTAINS "b"', True),
        ('"abc" NOT CONTAINS "b"', False),
        ('"abc" MATCHES "^a.c$"', True),
        ("[] IS_EMPTY", True),
        ("null EXISTS", False),
        ("{a: 1}.b EXISTS", False),
        ('FILE "a.txt"', "text"),
        ('FILE "a.txt" EXISTS', True),
        ('FILE "none.txt" EXISTS', False),
        ('FILE "empty.txt" IS_EMPTY', True),
        ("COST == 0", True),
    ],
)
def test_values_of_expressions(expression, expected):
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"{{n}} {{list[0]}} {{o.k | upper}}"', "3 a V"),
        ('"{{list}} {{list | length}}"', '["a", "b"] 2'),
        ('"{{{{n}} {{n}}"', "{{n}} 3"),
        ('"{{evil}}"', "{{n}} $(x)"),
    ],
)
def test_holes_are_filled_once(text, expected):
    before = 'VAR n = 3\nVAR list = ["a", "b"]\nVAR o = {k: "v"}\nVAR evil = "{{{{n}} $(x)"\n'
    assert value(text, before) == expected


def test_what_decides_comes_first_and_the_rest_is_not_looked_at():
    assert value('1 == 2 AND FILE "none.txt" == "x"') is False
    assert value('1 == 1 OR FILE "none.txt" == "x"') is True


def test_the_last_command_is_known():
    assert value("[LAST_RUN.STDOUT, LAST_RUN.EXIT_CODE]", 'RUN "x"\n') == ["out", 0]


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("VAR a = 1\nVAR v = a.b", "R201", "a.b"),
        ("VAR a = [1]\nVAR v = a[1 + 1]", "R201", "a[1 + 1]"),
        ('VAR a = 1\nLOG "x{{a | length}}"', "R201", "{{a | length}}"),
        ("VAR a = 1\nIF a {\nLOG a\n}", "R201", "a"),
        ('VAR v = FILE "none.txt"', "R203", 'FILE "none.txt"'),
        ('VAR a = "x"\nRUN "echo $(({{a}}))"', "R201", "{{a}}"),
    ],
)
def test_what_has_no_value_is_underlined(text, code, place):
    found = failure(text)
    assert (found.diagnostic.code, found.site.text) == (code, place)


def test_the_part_of_an_assertion_that_does_not_hold_is_underlined():
    assert failure("VAR n = 1\nASSERT n == 1 AND n + 1 == 3 AND n < 5").site.text == "n + 1 == 3"
