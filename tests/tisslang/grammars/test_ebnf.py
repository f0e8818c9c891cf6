"""The published EBNF and the parser say the same: each is held against the other."""

from __future__ import annotations

import pytest
from lark import Lark, UnexpectedInput

from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.commands import COMMANDS
from quanta_tissu.tisslang.syntax.parser import parse
from tests.tisslang.grammars.notation import Notation, Sentences, lark_grammar
from tests.tisslang.grammars.scripts import RIGHT, ROOT, WRONG, without_heredocs

GRAMMAR = Notation((ROOT / "docs" / "tisslang.ebnf").read_text(encoding="utf-8"), "ebnf")


@pytest.fixture(scope="module")
def judge():
    """Lark, with the published grammar."""
    return Lark(lark_grammar(GRAMMAR), start="r_script", parser="earley", lexer="dynamic", ambiguity="resolve")


@pytest.mark.parametrize("name", RIGHT)
def test_it_takes_what_is_right(judge, name):
    judge.parse(without_heredocs(RIGHT[name]))


@pytest.mark.parametrize("name", [one for one in WRONG if one not in ("E003", "E019")])
def test_it_takes_nothing_that_is_wrong(judge, name):
    """But heredocs that never end, and what is too deep, of which no such grammar can tell."""
    with pytest.raises(UnexpectedInput):
        judge.parse(WRONG[name])


@pytest.mark.parametrize("seed", range(8))
def test_what_it_makes_is_read_without_an_error(seed):
    sentences = Sentences(GRAMMAR, seed)
    for _ in range(25):
        text = sentences.sentence()
        wrong = [(one.code, one.message) for one in parse(SourceFile(text)).diagnostics if one.code != "E019"]
        assert wrong == [], text


def test_what_it_makes_holds_every_command():
    sentences = Sentences(GRAMMAR, 11)
    seen = set()
    for _ in range(400):
        for node in parse(SourceFile(sentences.sentence())).tree.walk():
            seen.add(type(node.statement))
    assert {command.make for command in COMMANDS} <= seen
