"""The log has an entry for every change, bound to the one before."""

from __future__ import annotations

import hashlib

import apsw
import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.log import EMPTY, entries, entry_hash
from quanta_tissu.tissdb.values import encode


def test_every_change_has_one_with_who_what_and_the_digest(db):
    a = db["a"]
    a.insert({"n": 1}, id="x")
    a.patch("x", {"n": 2})
    a.create_index("n")
    a.delete("x")
    db.drop_collection("a")
    found = list(db.read_connection(lambda connection: list(entries(connection))))
    assert [(entry.action, entry.id) for entry in found] == [
        ("create collection", None),
        ("insert", "x"),
        ("patch", "x"),
        ("create index", None),
        ("delete", "x"),
        ("drop collection", None),
    ]
    assert [entry.seq for entry in found] == [1, 2, 3, 4, 5, 6]
    assert {entry.actor for entry in found} == {"tester"}
    assert all(entry.ok and entry.collection == "a" for entry in found)
    assert found[2].digest == hashlib.sha256(encode({"n": 2}).encode()).digest()


def test_each_is_bound_to_the_one_before(db):
    db["a"].insert_many({"n": n} for n in range(5))
    before = EMPTY
    for entry in db.read_connection(lambda connection: list(entries(connection, limit=2))):
        assert entry.hash == entry_hash(
            before,
            entry.seq,
            entry.time,
            entry.actor,
            entry.action,
            entry.ok,
            entry.collection,
            entry.id,
            entry.digest,
            entry.detail,
        )
        before = entry.hash


def test_fields_do_not_run_into_each_other():
    def of(actor, action, detail):
        return entry_hash(EMPTY, 1, 1, actor, action, True, None, None, None, detail)

    assert len({of("ab", "c", None), of("a", "bc", None), of("abc", "", None), of("ab", "c", "")}) == 4


def test_what_failed_leaves_no_gap(db):
    db["a"].insert({}, id="x")
    with pytest.raises(tissdb.DatabaseError):
        db["a"].insert({}, id="x")
    db["a"].insert({})
    assert [entry.seq for entry in db.read_connection(lambda connection: list(entries(connection)))] == [1, 2, 3]


def test_the_engine_itself_lets_nobody_change_it(path):
    with tissdb.open(path) as db:
        db["a"].insert({})
    connection = apsw.Connection(str(path))
    for statement in ("UPDATE _log SET actor = 'x'", "DELETE FROM _log"):
        with pytest.raises(apsw.ConstraintError):
            connection.execute(statement)
