"""Expressions, shown with parentheses around all that belongs together."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax import expressions as ex
from quanta_tissu.tisslang.syntax.parser import parse


def shown(expression: ex.Expression) -> str:
    match expression:
        case ex.Constant(value=value):
            return str(value)
        case ex.Duration(seconds=seconds):
            return f"{seconds}s"
        case ex.Text():
            return repr(expression.plain)
        case ex.List(items=items):
            return f"[{', '.join(map(shown, items))}]"
        case ex.Object(entries=entries):
            return "{" + ", ".join(f"{one.key}: {shown(one.value)}" for one in entries) + "}"
        case ex.Variable(name=name):
            return name
        case ex.Member(base=base, name=name):
            return f"{shown(base)}.{name}"
        case ex.Item(base=base, index=index):
            return f"{shown(base)}[{shown(index)}]"
        case ex.File(path=path):
            return f"FILE({shown(path)})"
        case ex.Not(operand=operand):
            return f"(NOT {shown(operand)})"
        case ex.Negative(operand=operand):
            return f"(-{shown(operand)})"
        case ex.Test(name=name, operand=operand):
            return f"({shown(operand)} {name})"
        case ex.Binary(operator=operator, left=left, right=right):
            return f"({shown(left)} {operator} {shown(right)})"


def read(text: str) -> ex.Expression:
    script = parse(SourceFile(f"LOG {text}"))
    assert script.diagnostics == ()
    [statement] = script.statements
    return statement.value


def codes(text: str) -> list[str]:
    return [one.code for one in parse(SourceFile(f"LOG {text}")).diagnostics]


class TestPrecedence:
    @pytest.mark.parametrize(
        ("text", "meaning"),
        [
            ("a OR b AND c", "(a OR (b AND c))"),
            ("NOT a AND b", "((NOT a) AND b)"),
            ("NOT a == b", "(NOT (a == b))"),
            ("NOT NOT a", "(NOT (NOT a))"),
            ("a + b - c", "((a + b) - c)"),
            ("a + 1 >= b - 2", "((a + 1) >= (b - 2))"),
            ("-a + b", "((-a) + b)"),
            ("(a OR b) AND c", "((a OR b) AND c)"),
            ("a CONTAINS 'x' OR b MATCHES 'y'", "((a CONTAINS 'x') OR (b MATCHES 'y'))"),
            ("a NOT CONTAINS 'x'", "(NOT (a CONTAINS 'x'))"),
            ("a IS_EMPTY AND b", "((a IS_EMPTY) AND b)"),
            ("a NOT IS_EMPTY", "(NOT (a IS_EMPTY))"),
            ("FILE 'a' EXISTS", "(FILE('a') EXISTS)"),
            ("NOT FILE 'a' EXISTS", "(NOT (FILE('a') EXISTS))"),
            ("FILE 'a' CONTAINS 'b'", "(FILE('a') CONTAINS 'b')"),
            (
                "LAST_RUN.EXIT_CODE == 0 AND NOT LAST_RUN.STDERR CONTAINS 'E'",
                "((LAST_RUN.EXIT_CODE == 0) AND (NOT (LAST_RUN.STDERR CONTAINS 'E')))",
            ),
            ("a.b[0].c[d + 1]", "a.b[0].c[(d + 1)]"),
            ("COST < 2.5", "(COST < 2.5)"),
        ],
    )
    def test_operators_bind_as_the_reference_says(self, text, meaning):
        assert shown(read(text)) == meaning


class TestValues:
    @pytest.mark.parametrize(
        ("text", "meaning"),
        [
            ("1", "1"), ("2.5", "2.5"), ("true", "True"), ("null", "None"), ("90s", "90.0s"), ("500ms", "0.5s"),
            ("[]", "[]"), ("[1, 'a',]", "[1, 'a']"), ("{}", "{}"), ('{a: 1, "b c": [2]}', "{a: 1, b c: [2]}"),
            ("[\n  1,\n  2\n]", "[1, 2]"), ("(\n1 +\n2\n)", "(1 + 2)"),
        ],
    )  # fmt: skip
    def test_are_read(self, text, meaning):
        assert shown(read(text)) == meaning

    def test_an_operator_at_the_end_of_a_line_goes_on(self):
        assert shown(read("a AND\n    b")) == "(a AND b)"


class TestSpans:
    def test_are_those_of_the_text(self):
        source = SourceFile("LOG a.b + FILE 'c'")
        [statement] = parse(source).statements
        sum_ = statement.value
        assert source[sum_.span] == "a.b + FILE 'c'"
        assert source[sum_.left.span] == "a.b"
        assert source[sum_.right.span] == "FILE 'c'"


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("a +", "E008"),
            ("(a", "E008"),
            ("[a", "E008"),
            ("{a 1}", "E008"),
            ("a.", "E008"),
            ("RUN", "E008"),
            ("a == b == c", "E013"),
            ("a = b", "E014"),
            ("a and b", "E014"),
            ("not a", "E014"),
            ("{'{{x}}': 1}", "E005"),
            ("(" * 150 + "1", "E019"),
            (" + ".join(["1"] * 150), "E019"),
            ("a" + ".b" * 150, "E019"),
        ],
    )
    def test_have_their_codes(self, text, code):
        assert code in codes(text)


def test_children_are_what_an_expression_is_made_of():
    assert [shown(one) for one in ex.children(read("a + b"))] == ["a", "b"]
    assert [shown(one) for one in ex.children(read("'{{x}} {{y}}'"))] == ["x", "y"]
    assert [shown(one) for one in ex.children(read("[a, b]"))] == ["a", "b"]
    assert [shown(one) for one in ex.children(read("{k: a}"))] == ["a"]
    assert [shown(one) for one in ex.children(read("a[b].c"))] == ["a[b]"]
    assert [shown(one) for one in ex.children(read("a[b]"))] == ["a", "b"]
    assert [shown(one) for one in ex.children(read("NOT FILE a EXISTS"))] == ["(FILE(a) EXISTS)"]
    assert [shown(one) for one in ex.children(read("FILE a"))] == ["a"]
    assert ex.children(read("1")) == ()
