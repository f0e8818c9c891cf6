"""What value indexes hold: the same on every engine."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quanta_tissu.errors import InvalidDocumentError, UniqueError
from quanta_tissu.tissdb.definitions import Index
from quanta_tissu.tissdb.indexes import MOST_INDEXED, check_indexable


@pytest.mark.parametrize("kind", ["value", "unique"])
def test_values_that_no_engine_could_hold_are_refused_and_named(db, kind):
    a = db["a"]
    a.create_index("text", kind=kind, fields=["text", "more"])
    a.insert({"text": "é" * 900, "more": "x" * 200}, id="x")
    with pytest.raises(InvalidDocumentError, match=r"text, more takes 2,001 bytes in index 'text'") as caught:
        a.insert({"text": "é" * 900, "more": "x" * 201})
    assert caught.value.path == "text"
    with pytest.raises(InvalidDocumentError):
        a.patch("x", {"more": list(range(200))})
    a.patch("x", {"body": "no index holds this " * 10_000})
    assert len(a) == 1


@pytest.mark.parametrize("kind", ["value", "unique"])
def test_no_index_is_made_over_them(db, kind):
    db["a"].insert({"text": "long " * 1000})
    with pytest.raises(InvalidDocumentError, match="takes 5,000 bytes"):
        db["a"].create_index("text", kind=kind)
    assert db["a"].indexes == {}
    db["a"].insert({"text": "long " * 1000})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e300, 1e300)
    | st.text("ab\u20ac", max_size=9),
    lambda inner: st.lists(inner, max_size=120) | st.dictionaries(st.text("xyz", max_size=5), inner, max_size=60),
    max_leaves=150,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_values, st.text("ab\u20ac\U0001f600", max_size=2_000))
def test_what_is_not_refused_can_be_held(db, value, text):
    if not db["a"].indexes:
        db["a"].create_index("both", fields=["value", "text"])
    document = {"value": value, "text": text}
    try:
        check_indexable(Index(1, "both", "value", (("value",), ("text",))), document)
    except InvalidDocumentError:
        with pytest.raises(InvalidDocumentError, match="index 'both'"):
            db["a"].insert(document)
    else:
        db["a"].insert(document)


@pytest.mark.parametrize(
    "value",
    [
        [1] * (MOST_INDEXED // 6 // 2 - 1),
        [[[]]] * 47,
        {f"{n:02}": 1 for n in range(40)},
        [True] * 60,
        list(range(10_000, 10_055)),
    ],
)
def test_lists_and_objects_at_the_limit_can_be_held(db, value):
    db["a"].create_index("value")
    db["a"].insert({"value": value})


def test_keys_and_places_are_not_mistaken_for_each_other(db):
    a = db["a"]
    a.create_index("first", kind="unique", fields="list[0]")
    a.insert({"list": [1]})
    for other in ({"0": 1}, 1, "text", None, []):
        a.insert({"list": other})
        a.insert({"list": other})
    with pytest.raises(UniqueError):
        a.insert({"list": [1]})
    db["b"].create_index("key", kind="unique", fields='object."0"')
    db["b"].insert({"object": {"0": 1}})
    db["b"].insert({"object": [1]})
    db["b"].insert({"object": [1]})
    with pytest.raises(UniqueError):
        db["b"].insert({"object": {"0": 1}})


def test_quotes_and_marks_in_names_are_only_characters(db):
    for place, name in enumerate(["it's", "50%", "is it?", "%s", "a.b", "a$1", "\\", "🦊"]):
        collection = db[f"c{place}"]
        quoted = name.replace("\\", "\\\\")
        collection.create_index("odd", kind="unique", fields=f'"{quoted}".x')
        collection.insert({name: {"x": 1}})
        with pytest.raises(UniqueError):
            collection.insert({name: {"x": 1}})


def test_what_has_expired_is_in_the_way_of_no_unique_value(db):
    notes = db.collection("notes")
    over = dt.timedelta(seconds=-1)
    notes.insert({"n": 1}, id="here")
    notes.insert({"n": 1}, id="gone", expires=over)
    notes.create_index("n", kind="unique")
    notes.insert({"n": 2}, id="gone too", expires=over)
    notes.patch("here", {"n": 2})
    assert [entry.id for entry in db.log(collection="notes") if entry.action == "expire"] == ["gone", "gone too"]
