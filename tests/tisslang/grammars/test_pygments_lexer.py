from __future__ import annotations

import pytest
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, String

from quanta_tissu.tisslang.grammars.pygments_lexer import TissLexer
from quanta_tissu.tisslang.syntax.commands import COMMANDS
from tests.tisslang.grammars.scripts import RIGHT


def kinds(text):
    return [(value, kind) for kind, value in TissLexer(ensurenl=False).get_tokens(text) if value.strip()]


def test_it_is_found_by_its_names():
    assert isinstance(get_lexer_by_name("tiss"), TissLexer)
    assert isinstance(get_lexer_for_filename("plan.tiss"), TissLexer)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_has_no_mistakes_and_keywords_are_keywords(name):
    found = kinds(RIGHT[name])
    assert Error not in {kind for _, kind in found}
    commands = {one.keyword for one in COMMANDS}
    assert {kind for value, kind in found if value in commands} <= {Keyword, Name.Attribute}


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_lost(name):
    text = RIGHT[name]
    assert "".join(value for _, value in TissLexer(stripnl=False, ensurenl=False).get_tokens(text)) == text


def test_every_kind_of_word():
    text = (
        "#TISS! version=1.0\n@model x  # why\nSET_BUDGET COST = 2.5\nVAR a = true\n"
        "ASSERT a.b == LAST_RUN.STDOUT OR NOT COST"
    )
    found = dict(kinds(text))
    assert found == {
        "#TISS!": Comment.Preproc, "version": Name.Variable, "=": Operator, "1.0": Number,
        "@model": Name.Decorator, "x": Name.Variable,
        "# why": Comment.Single, "SET_BUDGET": Keyword, "COST": Name.Builtin, "2.5": Number,
        "VAR": Keyword, "a": Name.Variable, "true": Keyword.Constant, "ASSERT": Keyword, ".": Punctuation,
        "b": Name.Attribute, "==": Operator, "LAST_RUN": Name.Builtin, "STDOUT": Name.Constant,
        "OR": Operator.Word, "NOT": Operator.Word,
    }  # fmt: skip


def test_texts_and_their_holes():
    text = "WRITE \"a\\n{{b}}\" <<A\nx {{b | upper}} \\n\nA\nLOG <<'A'\n{{b}}\nA\n"
    assert kinds(text) == [
        ("WRITE", Keyword), ('"a', String), ("\\n", String.Escape), ("{{b}}", String.Interpol), ('"', String),
        ("<<A", String.Delimiter), ("x ", String.Heredoc), ("{{b | upper}}", String.Interpol),
        (" \\n\n", String.Heredoc), ("A\n", String.Delimiter), ("LOG", Keyword), ("<<'A'", String.Delimiter),
        ("{{b}}\n", String.Heredoc), ("A", String.Delimiter),
    ]  # fmt: skip


def test_what_is_no_part_of_the_language_is_marked():
    assert ("$", Error) in kinds("LOG $a")
