"""What values mean in TissQL: their kinds and order, how they compare, and how numbers are reckoned with.

This is the definition; the SQL of every engine is made to agree with it, and tests compare them.
"""

from __future__ import annotations

import base64
import calendar
import datetime as dt
import decimal
import math
from collections.abc import Iterable
from typing import Any

from quanta_tissu.tissdb.values import LONG_FLOAT, Value, text_of

NULL, BOOL, NUMBER, STRING, DATE, TIME, DATETIME, BINARY, ARRAY, OBJECT = range(10)
"""Kinds, in the order in which they sort."""

KINDS = ("null", "bool", "number", "string", "date", "time", "datetime", "binary", "array", "object")

COMPARED = range(BOOL, BINARY + 1)
"""Kinds whose values can be compared; null, arrays and objects cannot."""

EXTREMES = (NUMBER, STRING, DATE, TIME, DATETIME)
"""Kinds of which MIN and MAX take notice."""

EXACT = decimal.Context(prec=4000, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
"""Enough digits that sums of squares of floats are exact."""

_INT64 = 2**63
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def kind_of(value: Value) -> int:
    """The kind of a value."""
    kind = _KINDS.get(type(value))
    if kind is not None:
        return kind
    for base, found in _BASES:
        if isinstance(value, base):
            return found
    raise TypeError(f"{type(value).__name__} is no value")


_KINDS: dict[type, int] = {
    type(None): NULL,
    bool: BOOL,
    int: NUMBER,
    float: NUMBER,
    str: STRING,
    dt.datetime: DATETIME,
    dt.date: DATE,
    dt.time: TIME,
    bytes: BINARY,
    list: ARRAY,
    dict: OBJECT,
}
_BASES: tuple[tuple[Any, int], ...] = ((bool, BOOL), ((int, float), NUMBER), (str, STRING), (dict, OBJECT))


def comparable(value: Value) -> tuple[int, Any]:
    """A key that orders values as TissQL does; all arrays are equal in it, and all objects."""
    kind = kind_of(value)
    if kind == BINARY:
        return kind, base64.b64encode(value)
    return kind, (0 if kind in (NULL, ARRAY, OBJECT) else value)


def grouping(value: Value) -> tuple[int, Any]:
    """A key that is the same for values of one group."""
    kind = kind_of(value)
    return (kind, text_of(value)) if kind in (ARRAY, OBJECT) else comparable(value)


def compare(operator: str, left: Value, right: Value) -> bool:
    """Whether a comparison holds; never between kinds."""
    (kind, a), (other, b) = comparable(left), comparable(right)
    if kind != other or kind not in COMPARED:
        return False
    return bool(
        a == b
        if operator == "="
        else a != b
        if operator == "<>"
        else a < b
        if operator == "<"
        else a <= b
        if operator == "<="
        else a > b
        if operator == ">"
        else a >= b
    )


def is_number(value: Value) -> bool:
    """Whether a value is one: truth is none."""
    return kind_of(value) == NUMBER


def arithmetic(operator: str, left: Value, right: Value) -> Value:
    """`left + right` and the like; null unless both are numbers.

    Integers stay integers while they fit 64 bits and become floats beyond. A quotient is always a float; by zero
    it is null, and so is what is too large for a float.
    """
    if not (is_number(left) and is_number(right)):
        return None
    if operator == "/":
        return finite(float(left) / float(right)) if right else None
    exact = isinstance(left, int) and isinstance(right, int)
    a, b = (left, right) if exact else (float(left), float(right))
    result = a + b if operator == "+" else a - b if operator == "-" else a * b
    if exact and not -_INT64 <= result < _INT64:
        return arithmetic(operator, float(left), float(right))
    return result if exact else finite(result)


def negative(value: Value) -> Value:
    """`-x`, null unless it is a number."""
    return arithmetic("-", 0, value) if is_number(value) else None


def finite(value: float) -> float | None:
    """A float without infinities and minus zero."""
    return value + 0.0 if math.isfinite(value) else None


def whole(value: Value) -> Value:
    """A number in the form that stands for all equal to it: 2 for 2.0."""
    if isinstance(value, float) and value.is_integer() and -_INT64 <= value < _INT64:
        return int(value)
    return value


def total(values: Iterable[Value]) -> int | float | None:
    """The sum of the numbers among values: of decimals as they are written, rounded once; null of none."""
    whole_part, rest, seen, floats = 0, decimal.Decimal(0), False, False
    for value in values:
        if not is_number(value):
            continue
        seen = True
        if isinstance(value, int):
            whole_part += value
        else:
            floats = True
            rest = EXACT.add(rest, written(value))
    return rounded_total(whole_part, rest, floats) if seen else None


def written(value: float) -> decimal.Decimal:
    """The decimal that stands in a document for a number: large floats are written with all their digits."""
    return decimal.Decimal(repr(value) if abs(value) < LONG_FLOAT else value)


def rounded_total(whole_part: int, rest: decimal.Decimal, floats: bool) -> int | float | None:
    """A sum of integers and of decimals, as an integer if there are no floats and it fits 64 bits."""
    if not floats and -_INT64 <= whole_part < _INT64:
        return whole_part
    return finite(float(EXACT.add(decimal.Decimal(whole_part), rest)))


def deviation(values: Iterable[Value]) -> float | None:
    """The sample standard deviation of the numbers among values; null of fewer than two."""
    count, sums, squares = 0, decimal.Decimal(0), decimal.Decimal(0)
    for value in values:
        if is_number(value):
            exact = written(value)
            count += 1
            sums = EXACT.add(sums, exact)
            squares = EXACT.fma(exact, exact, squares)
    return rounded_deviation(count, sums, squares)


def rounded_deviation(count: int, sums: decimal.Decimal, squares: decimal.Decimal) -> float | None:
    """By the sums of some numbers and of their squares."""
    if count < 2:
        return None
    above = float(EXACT.subtract(EXACT.multiply(squares, count), EXACT.multiply(sums, sums)))
    return finite(math.sqrt(above / float(count * (count - 1)))) if math.isfinite(above) else None


def extreme(values: Iterable[Value], *, largest: bool) -> Value:
    """The least or largest of numbers, strings, dates, times and datetimes, which sort in this order."""
    found = [whole(value) for value in values if kind_of(value) in EXTREMES]
    if not found:
        return None
    return max(found, key=comparable) if largest else min(found, key=comparable)


def extract(part: str, value: Value) -> int | None:
    """A part of a point in time (UTC), null if it has none."""
    if kind_of(value) not in (DATE, TIME, DATETIME):
        return None
    if isinstance(value, dt.datetime):
        value = value.astimezone(dt.UTC)
    found: int | None = getattr(value, part, None)
    return found


def shift(value: Value, months: int, microseconds: int) -> Value:
    """A point in time, moved. A date stays a date; a time goes round the clock. Null if it leaves the calendar."""
    kind = kind_of(value)
    if kind == TIME:
        moved = (_EPOCH.replace(year=2000) + dt.timedelta(microseconds=microseconds % 86_400_000_000)).time()
        start = dt.timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        )
        ahead = dt.timedelta(
            hours=moved.hour, minutes=moved.minute, seconds=moved.second, microseconds=moved.microsecond
        )
        return (_EPOCH + start + ahead).time()
    if kind not in (DATE, DATETIME):
        return None
    try:
        if kind == DATETIME:
            value = value.astimezone(dt.UTC)
        place = value.year * 12 + value.month - 1 + months
        year, month = divmod(place, 12)
        if not dt.MINYEAR <= year <= dt.MAXYEAR:
            return None
        last = calendar.monthrange(year, month + 1)[1]
        value = value.replace(year=year, month=month + 1, day=min(value.day, last))
        if kind == DATE:
            return value + dt.timedelta(days=microseconds // 86_400_000_000)
        return value + dt.timedelta(microseconds=microseconds)
    except OverflowError:
        return None


_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER = {lower: upper for upper, lower in _LOWER.items()}


def text_function(function: str, value: Value) -> Value:
    """`lower`, `upper` (of A to Z) or `length` (in characters) of a string, null of anything else."""
    if kind_of(value) != STRING:
        return None
    return len(value) if function == "length" else value.translate(_LOWER if function == "lower" else _UPPER)


def concatenated(left: Value, right: Value) -> str | None:
    """Two strings as one, null unless both are strings."""
    return left + right if kind_of(left) == STRING == kind_of(right) else None


def moment(microseconds: int | None) -> dt.datetime | None:
    """A time of the database as a value."""
    if microseconds is None:
        return None
    try:
        return _EPOCH + dt.timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def pattern_steps(pattern: str, escape: str) -> list[str | None] | None:
    """A pattern step by step: characters, `ANY_TEXT`, None for any character; None if an escape ends it."""
    steps: list[str | None] = []
    characters = iter(pattern)
    for character in characters:
        if escape and character == escape:
            character = next(characters, "")
            if not character:
                return None
            steps.append(character)
        elif character == "%":
            steps.append(ANY_TEXT)
        elif character == "_":
            steps.append(None)
        else:
            steps.append(character)
    return steps


ANY_TEXT = ""
"""What `%` is in the steps of a pattern; None is any character, and all else itself."""
