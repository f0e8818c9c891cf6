from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslang.engine import values
from quanta_tissu.tisslang.engine.values import (
    FILTERS,
    Unknown,
    WrongValue,
    as_text,
    equal,
    holds_unknown,
    hole,
    text_of,
)
from quanta_tissu.tisslang.syntax import words

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(anything)
def test_a_value_is_itself_and_its_text_is_that_of_json(value):
    assert equal(value, value)
    if isinstance(value, list | dict):
        assert equal(json.loads(as_text(value)), value)
    if isinstance(value, str):
        assert as_text(value) == value


@given(anything, anything)
def test_equality_has_no_direction(left, right):
    assert equal(left, right) == equal(right, left)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, True, False),
        (1, 1.0, True),
        (0, False, False),
        ([1], [True], False),
        ({"a": 1}, {"a": 1.0}, True),
        ("1", 1, False),
    ],
)
def test_truth_is_no_number(left, right, same):
    assert equal(left, right) is same


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2"), (2.5, "2.5"), (True, "true"), (None, "null"), ([1, "ä"], '[1, "ä"]')]
)
def test_texts_of_values(value, text):
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("what", "given"),
    [
        (values.truth, (1,)),
        (values.truth, ("yes",)),
        (values.plus, (1, True)),
        (values.plus, ({}, [])),
        (values.minus, ("a", 1)),
        (values.contains, (3, 1)),
        (values.matches, ("a", "(")),
        (values.matches, (1, "a")),
        (values.member, ({"a": 1}, "b")),
        (values.member, ([], "a")),
        (values.item, ([1], 1)),
        (values.item, ([1], True)),
        (values.item, ([1], "a")),
        (values.is_empty, (0,)),
        (FILTERS["length"], (3,)),
    ],
)
def test_nothing_is_guessed(what, given):
    with pytest.raises(WrongValue):
        what(*given)


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
@given(st.integers(), st.integers())
def test_order_is_that_of_numbers(operator, left, right):
    assert (
        values.compare(operator, left, right)
        is {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]
    )


def test_what_has_no_order():
    with pytest.raises(WrongValue):
        values.compare("<", "a", 1)


def test_parts_of_values():
    assert values.item([1, 2], -1) == 2
    assert values.item("ab", 0) == "a"
    assert values.item({"a": 1}, "a") == 1
    assert values.plus("a", 1) == "a1"
    assert values.plus([1], [2]) == [1, 2]
    assert values.contains("abc", "b")
    assert values.contains([1, "a"], "a")
    assert not values.contains([1], True)
    assert values.contains({"a": 1}, "a")
    assert values.is_empty(None)


def test_every_filter_of_the_language_does_something():
    assert set(FILTERS) == set(words.FILTERS)
    assert FILTERS["upper"]("a") == "A"
    assert FILTERS["trim"](" a ") == "a"
    assert FILTERS["lines"]("a\nb") == ["a", "b"]
    assert FILTERS["json"](["a"]) == '["a"]'
    assert FILTERS["sh"]("a b") == "'a b'"


def test_what_is_not_known_stays_so():
    assert hole("a {b}\n c") == Unknown("{a b c}")
    assert holds_unknown({"a": [Unknown("{x}")]})
    assert not holds_unknown({"a": ["x"]})
    assert text_of(["a"]) == '["a"]'
    assert text_of([Unknown("{x}")]) == Unknown("{value}")
    assert as_text(Unknown("a{x}")) == "a{x}"
