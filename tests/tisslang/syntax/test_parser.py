from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslang.diagnostics.diagnostic import Severity
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.parser import parse
from quanta_tissu.tisslang.syntax.tokens import Token
from quanta_tissu.tisslang.syntax.tree import Node, Script
from tests.tisslang.syntax.scripts import BREAKS, GOOD


def read(text: str) -> tuple[ast.Statement, ...]:
    script = parse(SourceFile(text))
    assert script.diagnostics == ()
    return script.statements


def mistakes(text: str) -> list[tuple[str, str]]:
    """Code, and the characters that are marked."""
    source = SourceFile(text)
    return [(one.code, source[one.span]) for one in parse(source).diagnostics]


def leaves(script: Script, node: Node) -> list[Token]:
    found = []
    for piece in script.pieces(node):
        found += leaves(script, piece) if isinstance(piece, Node) else [piece]
    return found


class TestHeader:
    def test_sets_version_and_others(self):
        script = parse(
            SourceFile('\ufeff\n#TISS! version=1.0 Language="Python"  # c\n#TISS_VERSION >= 1.2\nLOG 1')
        )
        assert script.diagnostics == ()
        assert [(one.name, one.value) for one in script.header] == [
            ("version", "1.0"), ("language", "Python"), ("version", "1.2"),
        ]  # fmt: skip

    @pytest.mark.parametrize("text", ["#TISS! version", "#TISS! = 1", "#TISS! a="])
    def test_says_what_is_missing(self, text):
        assert [code for code, _ in mistakes(text)] == ["E008"]


class TestBlocks:
    def test_a_task_is_a_line_before_steps_or_a_block(self):
        bare = read('TASK "t"\n\nSTEP "a" {\n}\n')
        assert [type(one) for one in bare] == [ast.Task, ast.Step]
        assert bare[0].body is None
        [block] = read('TASK "t" {\n STEP "a" {\n }\n}')
        assert [type(one) for one in block.body] == [ast.Step]

    def test_a_brace_may_come_on_the_next_line(self):
        [step] = read('STEP "a"\n{\n  LOG 1\n}')
        assert len(step.body) == 1

    def test_else_may_come_on_the_same_line_or_a_later_one(self):
        [one] = read("IF a {\n} ELSE IF b {\n}\n# why\n\nELSE {\n LOG 1\n}")
        assert len(one.branches) == 1
        assert len(one.otherwise) == 1

    def test_setup_needs_no_title(self):
        assert read("SETUP {\n}")[0].title is None
        assert read('SETUP "x" {\n}')[0].title.plain == "x"

    def test_all_of_try_is_read(self):
        [one] = read("TRY {\n} CATCH AS e {\n LOG e\n} FINALLY {\n LOG 1\n}")
        assert (one.error.text, len(one.catch), len(one.always)) == ("e", 1, 1)
        [short] = read("TRY {\n} CATCH {\n}")
        assert (short.error, short.catch, short.always) == (None, (), None)

    def test_a_definition_has_parameters(self):
        define, call = read('DEFINE_TASK "f"(a, b) {\n}\nCALL "f"(1, "x")')
        assert [one.text for one in define.parameters] == ["a", "b"]
        assert len(call.arguments) == 2

    def test_what_is_left_out_is_none(self):
        [run] = read('RUN "x"')
        assert run.timeout is None


class TestDirectives:
    def test_take_a_value_a_word_or_nothing(self):
        found = read('@persona "x"\n@on_error collect\n@quiet\n@max 3\n@strict true')
        assert [one.name.text for one in found] == ["persona", "on_error", "quiet", "max", "strict"]
        assert found[0].value.plain == "x"
        assert found[1].value.text == "collect"
        assert found[2].value is None
        assert found[3].value.value == 3
        assert found[4].value.value is True


class TestMistakes:
    """Each with its code and the characters that are underlined."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('STEP "a" {\n STEP "b" {\n }\n}', ("E010", "STEP")),
            ("PARALLEL {\n LOG 1\n}", ("E011", "LOG")),
            ('STEP "a" {\n SETUP {\n }\n}', ("E011", "SETUP")),
            ('STEP "a" {\n TASK "t"\n}', ("E011", "TASK")),
            ("LOG 1 2", ("E012", "2")),
            ("}", ("E007", "}")),
            ("STEP {\n}", ("E008", "{")),
            ("ASSERT", ("E008", "")),
            ("READ 'x'", ("E008", "")),
            ("READ 'x' as y", ("E008", "as")),
            ("IF {\n}", ("E008", "{")),
            ("Run 'x'", ("E009", "Run")),
            ("FROBNICATE 'x'", ("E009", "FROBNICATE")),
            ("1 + 2", ("E009", "1")),
            ("VAR STEP = 1", ("E020", "STEP")),
            ("ELSE {\n}", ("E022", "ELSE")),
            ("LOG 1\n#TISS! version=1.0", ("E021", "#TISS!")),
            ('CALL "f"(1', ("E008", "")),
            ('STEP "a" {', ("E006", "{")),
        ],
    )
    def test_have_their_code_and_place(self, text, expected):
        assert mistakes(text) == [expected]

    def test_several_are_found_in_one_pass(self):
        assert [code for code, _ in mistakes("RUNN 'x'\nASSERT\nLOG 1 2\n}")] == ["E009", "E008", "E012", "E007"]

    def test_a_nested_step_shows_the_outer_one(self):
        source = SourceFile('STEP "a" {\n  STEP "b" {\n  }\n}')
        [mistake] = parse(source).diagnostics
        [label] = mistake.others
        assert label.span == Span(0, 4)
        assert "PARALLEL" in mistake.help

    def test_blocks_end_somewhere(self):
        text = "IF a {\n" * 150
        assert "E019" in [code for code, _ in mistakes(text)]


class TestAnyText:
    """Whatever the text is: a tree of all of it, and no exception."""

    def check(self, text: str) -> None:
        source = SourceFile(text)
        script = parse(source)
        assert script.text(script.tree) == text
        assert leaves(script, script.tree) == script.tokens
        for node in script.tree.walk():
            ends = [one.end for one in node.children]
            assert [one.first for one in node.children] == sorted(one.first for one in node.children)
            assert all(node.first <= one.first and one.end <= node.end for one in node.children)
            assert all(end <= one.first for end, one in zip(ends, node.children[1:], strict=False))
        for one in script.diagnostics:
            for label in (one.label, *one.others):
                assert 0 <= label.span.start <= label.span.end <= len(text)
        if not script.tree.children and text.strip() and not text.strip().startswith("#"):
            assert any(one.severity is Severity.ERROR for one in script.diagnostics)

    @pytest.mark.parametrize(("old", "new"), BREAKS)
    def test_of_broken_scripts(self, old, new):
        self.check(GOOD.replace(old, new, 1))

    @pytest.mark.slow
    @settings(max_examples=10_000)
    @given(st.data())
    def test_of_scripts_with_random_changes(self, data):
        words = [
            "{",
            "}",
            "{{",
            '"',
            "'",
            "<<A",
            "A",
            "\n",
            "STEP",
            "ELSE",
            "IF",
            "(",
            ")",
            "[",
            "]",
            ",",
            "=",
            "#",
        ]
        text = SMALL
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(text)))
            end = data.draw(st.integers(start, min(start + 12, len(text))))
            text = text[:start] + data.draw(st.sampled_from(["", *words])) + text[end:]
        self.check(text)

    @given(st.text(max_size=80))
    def test_of_random_characters(self, text):
        self.check(text)


SMALL = """#TISS! version=1.0
TASK "t" {
    STEP "a" {  # why
        VAR x = {a: [1, "{{b}}"]}
        WRITE "f" <<-A
            {{x}}
        A
        IF x.a[0] == 1 AND NOT FILE "f" EXISTS {
            RUN "ls" TIMEOUT 5s
        } ELSE {
            LOG "no"
        }
    }
}
"""


def test_indentation_means_nothing_where_braces_agree():
    assert len(read('TASK "t" {\nSTEP "a" {\nLOG 1\n}\nSTEP "b" {\n}\n}\n')[0].body) == 2
    assert len(read('    STEP "a" {\n  LOG 1\n}\nSTEP "b" {\n    LOG 2\n        }')) == 2
