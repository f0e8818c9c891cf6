"""The grammar for models: an engine of constrained decoding takes it, and what is written under it can be read."""

from __future__ import annotations

import random
import re

import pytest
from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import gbnf_to_lark
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslang.grammars.gbnf import TAGS, gbnf
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.formatter import format_script
from quanta_tissu.tisslang.syntax.parser import parse
from tests.tisslang.grammars.notation import Notation, Sentences
from tests.tisslang.grammars.scripts import RIGHT, ROOT, WRONG

PUBLISHED = (ROOT / "docs" / "tisslang.gbnf").read_text(encoding="utf-8")
TAGS_USED = sorted({*TAGS, *(tag for text in RIGHT.values() for tag in re.findall(r"<<-?'?(\w+)", text))})


def mistakes(text):
    return [(one.code, one.message) for one in parse(SourceFile(text)).diagnostics if one.code != "E019"]


@pytest.fixture(scope="module")
def matcher():
    """An engine of constrained decoding, whose tokens are bytes; with the tags that the scripts use."""
    grammar = LLMatcher.grammar_from_lark(gbnf_to_lark(gbnf(TAGS_USED)))
    tokens = LLTokenizer("byte")
    assert LLMatcher.validate_grammar(grammar, tokens) == ""
    return LLMatcher(tokens, grammar)


def taken(matcher, text):
    """How much of a text a model could have written, and whether it could end there."""
    matcher.reset()
    content = text.encode()
    return content[: matcher.try_consume_tokens(list(content))].decode(errors="replace"), matcher.is_accepting()


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_and_well_written_can_be_written(matcher, name):
    text = format_script(parse(SourceFile(RIGHT[name])))
    assert taken(matcher, text) == (text, True)


@pytest.mark.parametrize("name", [one for one in WRONG if one != "E019"])
def test_what_is_wrong_cannot(matcher, name):
    text = WRONG[name]
    assert taken(matcher, text) != (text, True)


@pytest.mark.parametrize("seed", range(6))
def test_what_the_published_one_makes_is_read_without_an_error(seed):
    sentences = Sentences(Notation(PUBLISHED, "gbnf"), seed)
    for _ in range(25):
        text = sentences.sentence()
        assert mistakes(text) == [], text


def test_what_an_engine_lets_a_model_write_is_read_without_an_error(matcher):
    """A model that chooses each byte by chance, among those that the engine allows."""
    dice = random.Random(3)
    mask = allocate_token_bitmask(1, LLTokenizer("byte").vocab_size)
    written = 0
    for _ in range(60):
        matcher.reset()
        content = bytearray()
        whole = 0
        while len(content) < 400:
            fill_next_token_bitmask(matcher, mask)
            allowed = [n for n in range(1, 256) if mask[0, n // 32] >> (n % 32) & 1]
            if not allowed:
                break
            ends = [n for n in allowed if n in b'\n"} ])']
            token = dice.choice(ends if ends and dice.random() < 0.3 else allowed)
            assert matcher.consume_token(token)
            content.append(token)
            if matcher.is_accepting():
                whole = len(content)
        text = content[:whole].decode()
        written += len(text) > 5
        assert mistakes(text) == [], text
    assert written > 20


def test_tags_are_words():
    with pytest.raises(ConfigError, match="cannot be the tag"):
        gbnf(["A B"])
