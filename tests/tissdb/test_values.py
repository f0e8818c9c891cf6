"""What documents may hold comes back as it was; what they may not is named with its place."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import InvalidDocumentError
from quanta_tissu.tissdb.values import MAX_BYTES, MAX_DEPTH, decode, decode_json, encode, tagged_text, text_of

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.dates()
    | st.times()
)
KEYS = TEXT.filter(lambda key: not key.startswith("$"))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20)
DOCUMENTS = st.dictionaries(KEYS, VALUES)


@given(DOCUMENTS)
def test_a_document_comes_back_as_it_was(document):
    text = encode(document)
    assert decode(text) == document
    assert decode_json(text) == document
    assert encode(decode(text)) == text


@given(st.dictionaries(KEYS, SCALARS, min_size=2))
def test_equal_documents_have_equal_text(document):
    assert encode(dict(reversed(document.items()))) == encode(document)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_stays_a_float_even_where_an_engine_keeps_decimals(number):
    text = encode({"x": number})[len('{"x":') : -1]
    assert "." in text or "e-" in text
    assert float(text) == number
    assert isinstance(decode(encode({"x": number}))["x"], float)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(1e-4, 9e15) | TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
        max_leaves=20,
    )
)
def test_the_text_is_what_python_itself_writes(value):
    assert text_of(value) == json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("number", [1e-4, 1.5e-5, 1e-7, 5e-324, 0.1, 123.456, 1e15, 9007199254740993.0, 1e22])
def test_floats_are_written_in_one_way(number):
    texts = {text_of(number), text_of([number])[1:-1], text_of(np.float64(number)), text_of(-number)[1:]}
    assert texts == {repr(number) if number < 1e16 else f"{int(number)}.0"}


def test_all_characters_are_written_as_python_writes_them():
    for code in range(1, 0x3000):
        text = f"a{chr(code)}b"
        assert text_of({text: text}) == json.dumps({text: text}, ensure_ascii=False, separators=(",", ":"))


def test_negative_zero_is_zero():
    assert math.copysign(1, decode(encode({"x": -0.0}))["x"]) == 1


def test_times_are_stored_in_utc_and_sort_as_text():
    east = dt.timezone(dt.timedelta(hours=5))
    early = dt.datetime(2026, 1, 1, 3, tzinfo=east)
    late = dt.datetime(2025, 12, 31, 22, 0, 0, 1, tzinfo=dt.UTC)
    assert tagged_text(early) == ("$datetime", "2025-12-31T22:00:00.000000Z")
    assert tagged_text(early)[1] < tagged_text(late)[1]


def test_subclasses_are_stored_as_what_they_are_made_of():
    class Colour(str, enum.Enum):  # noqa: UP042 - what users have
        RED = "red"

    value = {
        "a": Colour.RED,
        "b": OrderedDict(x=1),
        "c": (1, 2),
        "d": np.float32(0.5),
        "e": np.int64(7),
        "f": np.True_,
    }
    assert decode(encode(value)) == {"a": "red", "b": {"x": 1}, "c": [1, 2], "d": 0.5, "e": 7, "f": True}


@pytest.mark.parametrize(
    ("document", "path", "says"),
    [
        ({"a": {"b": [1, "\0"]}}, "a.b[1]", "NUL"),
        ({"a": "\ud800"}, "a", "surrogate"),
        ({"a": [math.nan]}, "a[0]", "nan"),
        ({"a": math.inf}, "a", "inf"),
        ({"a": 2**63}, "a", "64 bits"),
        ({"a": -(2**63) - 1}, "a", "64 bits"),
        ({"a": {"$date": 1}}, "a.$date", "'$date' in a"),
        ({1: 2}, "1", "type int"),
        ({"a": {"\0": 1}}, "a.\0", "NUL"),
        ({"a": object()}, "a", "object"),
        ({"a": dt.datetime(2026, 1, 1)}, "a", "time zone"),
        ({"a": dt.time(1, tzinfo=dt.UTC)}, "a", "with a zone"),
        ({"a": {1, 2}}, "a", "set"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_place(document, path, says):
    with pytest.raises(InvalidDocumentError) as caught:
        encode(document)
    assert caught.value.path == path
    assert says in caught.value.message
    assert caught.value.hint


def test_a_document_is_a_dict():
    with pytest.raises(InvalidDocumentError, match="not list"):
        encode([1])


def test_depth_and_size_are_limited():
    deep: dict = {}
    for _ in range(MAX_DEPTH - 1):
        deep = {"x": deep}
    encode(deep)
    with pytest.raises(InvalidDocumentError, match="levels deep"):
        encode({"x": deep})
    with pytest.raises(InvalidDocumentError, match="bytes as JSON"):
        encode({"x": "é" * (MAX_BYTES // 2)})


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "NaN",
        '{"a": Infinity}',
        '{"$date": "today"}',
        '{"$datetime": 5}',
        '{"$binary": "?"}',
        "[" * 100_000,
        b"\xff",
    ],
)
def test_json_that_is_none_is_refused(text):
    with pytest.raises(InvalidDocumentError):
        decode_json(text)


def test_json_of_users_may_leave_out_the_zone_and_microseconds():
    assert decode_json('{"$datetime": "2026-01-01T00:00:00"}') == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_the_text_is_json_that_others_read():
    assert json.loads(encode({"b": 1.5, "a": [None, True]})) == {"a": [None, True], "b": 1.5}
