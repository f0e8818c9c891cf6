"""Altering a collection: its schema and how long its documents live."""

from __future__ import annotations

import datetime as dt
import json
import math

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import DatabaseError, InvalidDocumentError, NotFoundError

WHOLE = {"properties": {"n": {"type": "integer"}}}


def altered(db):
    return [json.loads(entry.detail) for entry in db.log() if entry.action == "alter collection"]


def test_what_is_not_named_stays_and_none_removes(db):
    db.create_collection("a", schema=WHOLE, ttl=60)
    db.alter_collection("a", ttl=120)
    assert db["a"].insert({"n": 1}).created
    with pytest.raises(InvalidDocumentError):
        db["a"].insert({"n": "x"})
    db.alter_collection("a", schema=None)
    db["a"].insert({"n": "x"}, id="x")
    assert db["a"]["x"].expires - db["a"]["x"].created == 120_000_000
    db.alter_collection("a", ttl=None)
    db["a"].insert({}, id="stays")
    assert db["a"]["stays"].expires is None
    assert altered(db) == [{"ttl": 120}, {"schema": None}, {"ttl": None}]


def test_a_change_that_is_none_is_not_logged(db):
    db.create_collection("a", ttl=60)
    db.alter_collection("a", ttl=60)
    db.alter_collection("a")
    assert altered(db) == []


def test_documents_that_are_there_are_checked_and_the_first_are_named(db):
    db["a"].insert_many([{"_id": f"d{n}", "n": n if n < 3 else str(n)} for n in range(12)])
    with pytest.raises(InvalidDocumentError, match=r"'d3': n: .*; 'd7': n: .*; and more") as refused:
        db.alter_collection("a", schema=WHOLE)
    assert refused.value.path == "n"
    assert "'d8'" not in str(refused.value)
    assert altered(db) == []
    db["a"].insert({"n": "as before"})


def test_all_pages_are_checked(db):
    db["a"].insert_many([{"_id": str(n), "n": 1} for n in range(2001)])
    db["a"].patch("2000", {"n": "x"})
    with pytest.raises(InvalidDocumentError, match="'2000'"):
        db.alter_collection("a", schema=WHOLE)
    db["a"].delete("2000")
    db.alter_collection("a", schema=WHOLE)


def test_what_has_expired_is_in_no_schemas_way(db):
    import datetime as dt

    db["a"].insert({"n": "x"}, expires=dt.timedelta(seconds=-1))
    db.alter_collection("a", schema=WHOLE)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"schema": {"type": "nothing"}}, DatabaseError),
        ({"schema": 3}, DatabaseError),
        ({"ttl": 0}, DatabaseError),
        ({"ttl": math.nan}, DatabaseError),
        ({"ttl": math.inf}, DatabaseError),
        ({"ttl": "60"}, DatabaseError),
        ({"ttl": True}, DatabaseError),
    ],
)
def test_settings_that_are_none_are_refused(db, wanted, error):
    db.create_collection("a")
    with pytest.raises(error):
        db.alter_collection("a", **wanted)


def test_a_collection_that_is_not_there(db):
    with pytest.raises(NotFoundError, match="'missing'"):
        db.alter_collection("missing", ttl=1)


def test_another_connection_sees_it_at_once(path):
    with tissdb.open(path) as one, tissdb.open(path) as other:
        one["a"].insert({"n": 1})
        other["a"].insert({"n": 2})
        one.alter_collection("a", schema=WHOLE)
        with pytest.raises(InvalidDocumentError):
            other["a"].insert({"n": "x"})


def test_upsert_tells_whether_it_inserted(db):
    notes = db["notes"]
    assert notes.upsert("x", {"n": 1}).created
    assert not notes.upsert("x", {"n": 2}).created
    assert [notes.upsert("y", {}, key="once").created for _ in range(2)] == [True, True]
    assert [notes.upsert("y", {}, key="twice").created for _ in range(2)] == [False, False]
    assert notes.insert({}, key="i").created
    assert notes.insert({}, key="i").created
    assert all(made.created for made in notes.insert_many([{}, {}]))
    assert not notes.replace("x", {}).created
    assert not notes.patch("x", {"n": 3}).created
    assert not notes.delete("x").created
    assert notes.upsert("x", {}).created
    with db.transaction() as tx:
        assert tx["notes"].upsert("z", {}).created
        assert not tx["notes"].upsert("z", {}).created


@pytest.mark.parametrize("ttl", [math.inf, 1e12, 10**30])
def test_a_life_beyond_all_dates_is_none(db, ttl):
    with pytest.raises(DatabaseError, match="no time to live"):
        db.create_collection("a", ttl=ttl)
    with pytest.raises(DatabaseError, match="after the year 9999"):
        db["a"].insert({}, expires=dt.timedelta(days=999_999_999))


def test_the_longest_life_is_one(db):
    db.create_collection("a", ttl=1e11)
    db["a"].insert({}, id="x")
    assert db.query("SELECT _expires FROM a").rows[0][0].year > 5000
