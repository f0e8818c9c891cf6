"""What values mean in queries."""

from __future__ import annotations

import datetime as dt
import enum
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tissdb import meaning

UTC = dt.UTC
EARLY = dt.datetime(2026, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2)))
numbers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))


def test_kinds_are_those_of_documents_and_of_what_can_stand_for_them():
    class Colour(enum.StrEnum):
        RED = "red"

    assert meaning.kind_of(True) == meaning.BOOL
    assert meaning.kind_of(dt.datetime(2026, 1, 1, tzinfo=UTC)) == meaning.DATETIME
    assert meaning.kind_of(Colour.RED) == meaning.STRING
    with pytest.raises(TypeError, match="set is no value"):
        meaning.kind_of(set())


@given(numbers, numbers)
def test_numbers_compare_as_what_they_stand_for(a, b):
    assert meaning.compare("<", a, b) == (Fraction(a) < Fraction(b))
    assert meaning.compare("=", a, b) == (Fraction(a) == Fraction(b))


@pytest.mark.parametrize(
    "values", [(1, "1"), (True, 1), (None, None), ([1], [1]), ({}, {}), (dt.date(2026, 1, 1), "2026-01-01")]
)
def test_what_is_not_of_one_kind_compares_neither_way(values):
    assert not any(meaning.compare(operator, *values) for operator in ("=", "<>", "<", "<=", ">", ">="))


@given(numbers, numbers)
def test_arithmetic_gives_numbers_that_can_be_stored(a, b):
    for operator in "+-*/":
        result = meaning.arithmetic(operator, a, b)
        assert result is None or isinstance(result, float) or -(2**63) <= result < 2**63
        if isinstance(result, float):
            assert math.isfinite(result)
            assert math.copysign(1, result) == 1 or result != 0
    if isinstance(a, int) and isinstance(b, int) and -(2**63) <= a + b < 2**63:
        assert meaning.arithmetic("+", a, b) == a + b


@given(
    st.lists(st.floats(-1e300, 1e300), max_size=6).flatmap(
        lambda items: st.tuples(st.just(items), st.permutations(items))
    )
)
def test_sums_do_not_depend_on_the_order(lists):
    values, other = lists
    assert meaning.total(values) == meaning.total(other)
    assert meaning.deviation(values) == meaning.deviation(other)


def test_sums_of_integers_are_exact_and_large_floats_count_with_all_their_digits():
    assert meaning.total([2**62, 2**62 - 1]) == 2**63 - 1
    assert meaning.total([2**62, 2**62]) == float(2**63)
    assert meaning.total([1, None, "x", True]) == 1
    assert meaning.total([]) is None
    assert meaning.total([5.0915923616584592e16, -50915923616584590]) == 2.0
    assert meaning.total([1.7e308, 1.7e308]) is None
    assert meaning.deviation([2, 4]) == math.sqrt(2)
    assert meaning.deviation([1]) is None
    assert meaning.deviation([1e300, -1e300]) is None


@pytest.mark.parametrize(
    ("value", "months", "microseconds", "expected"),
    [
        (dt.date(2024, 1, 31), 1, 0, dt.date(2024, 2, 29)),
        (dt.date(2024, 3, 31), -1, 0, dt.date(2024, 2, 29)),
        (dt.date(2024, 1, 1), 0, -1, dt.date(2023, 12, 31)),
        (dt.date(9999, 12, 31), 0, 86_400_000_000, None),
        (dt.date(1, 1, 1), -1, 0, None),
        (dt.time(23), 0, 7_200_000_000, dt.time(1)),
        (dt.time(1), 5, 0, dt.time(1)),
        (EARLY, 0, 1, dt.datetime(2025, 12, 31, 23, 0, 0, 1, tzinfo=UTC)),
        ("2026-01-01", 1, 0, None),
        (None, 1, 0, None),
    ],
)  # fmt: skip
def test_points_in_time_move(value, months, microseconds, expected):
    assert meaning.shift(value, months, microseconds) == expected


def test_moments_outside_of_the_calendar_are_null():
    assert meaning.moment(None) is None
    assert meaning.moment(0) == dt.datetime(1970, 1, 1, tzinfo=UTC)
    assert meaning.moment(2**62) is None


def test_patterns():
    assert meaning.pattern_steps("a%_", "") == ["a", meaning.ANY_TEXT, None]
    assert meaning.pattern_steps("!%!!", "!") == ["%", "!"]
    assert meaning.pattern_steps("a!", "!") is None
