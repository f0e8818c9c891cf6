"""Grammars and their automaton: what may come next, and how soon it can be over."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslang.llm.grammar import ENDLESS, Automaton, Bytes, Choice, OneOf, Repeat, Rule, Sequence

# Grammars with the regular expression of the same language.
LEAVES = st.sampled_from([(Bytes(b""), ""), (Bytes(b"a"), "a"), (Bytes(b"ab"), "ab"), (OneOf(b"ab"), "[ab]")])


def _larger(parts):
    several = st.lists(parts, min_size=1, max_size=3)
    limits = st.tuples(st.integers(0, 2), st.none() | st.integers(2, 3))
    return st.one_of(
        several.map(lambda some: (Sequence(*(one[0] for one in some)), "".join(f"(?:{one[1]})" for one in some))),
        several.map(lambda some: (Choice(*(one[0] for one in some)), f"(?:{'|'.join(one[1] for one in some)})")),
        st.tuples(parts, limits).map(
            lambda given: (
                Repeat(given[0][0], *given[1]),
                f"(?:{given[0][1]}){{{given[1][0]},{'' if given[1][1] is None else given[1][1]}}}",
            )
        ),
    )


GRAMMARS = st.recursive(LEAVES, _larger, max_leaves=6)


@given(GRAMMARS, st.text("abc", max_size=6))
def test_it_reads_what_a_regular_expression_does(grammar, text):
    node, pattern = grammar
    state = Automaton(node).start.read(text.encode())
    assert (state is not None and state.ends) == bool(re.fullmatch(pattern, text))


@given(GRAMMARS)
def test_the_least_number_of_bytes_is_that_of_the_shortest_text(grammar):
    state = Automaton(grammar[0]).start
    for expected in range(state.least, -1, -1):
        assert state.least == expected
        assert state.ends == (expected == 0)
        steps = [state.step(byte) for byte in state.next]
        assert all(step.least >= expected - 1 for step in steps)
        if expected:
            state = next(step for step in steps if step.least == expected - 1)


def test_rules_may_name_themselves():
    nested = Rule(lambda: Sequence(Bytes(b"("), Repeat(nested), Bytes(b")")))
    start = Automaton(nested).start
    assert start.read(b"(()(()))").ends
    assert start.read(b"((").least == 2
    assert not start.read(b"(()").ends
    assert start.read(b"())") is None
    assert start.read(b"(" * 3000).least == 3000


def test_equal_states_are_one():
    start = Automaton(Sequence(Bytes(b"x"), Repeat(OneOf(b"ab")), Bytes(b"y"))).start
    assert start.read(b"xaab") is start.read(b"xb")


def test_texts_with_one_tail_and_different_heads_are_told_apart():
    automaton = Automaton(Choice(Sequence(Bytes(b"a1"), Bytes(b"z")), Sequence(Bytes(b"b1"), Bytes(b"y"))))
    assert automaton.start.read(b"a1z").ends
    assert automaton.start.read(b"a1y") is None


def test_what_cannot_end_is_endless():
    forever = Rule(lambda: Sequence(Bytes(b"a"), forever))
    assert Automaton(forever).start.least == ENDLESS
    assert Automaton(Choice()).start.least == ENDLESS


def test_bytes_that_cannot_be_written_are_no_way():
    node = Choice(Bytes(b"abc"), Sequence(OneOf(b"x"), Repeat(OneOf(b"ay"), 4, 4)))
    assert Automaton(node).start.least == 3
    assert Automaton(node, alphabet=b"axy").start.least == 5
    assert Automaton(node, alphabet=b"axy").start.read(b"x").next == {ord("a"), ord("y")}
    assert Automaton(node, alphabet=b"ay").start.least == ENDLESS


def test_what_is_no_node_is_refused():
    with pytest.raises(TypeError):
        Automaton(Sequence("a"))
