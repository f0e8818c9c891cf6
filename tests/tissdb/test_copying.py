"""A copy on another engine is the same, to the bit."""

from __future__ import annotations

import datetime as dt
import time

import numpy as np
import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import ConflictError, CorruptionError, InvalidDocumentError
from quanta_tissu.tissdb.copying import summary

FLOATS = (0.1, -0.0, 1e-300, 5e-324, 1.7976931348623157e308, 1e16, 123456789.125, 2**53 + 0.0, 1.0)


def fill(db):
    db.create_collection("notes", schema={"type": "object", "properties": {"n": {"type": "number"}}}, ttl=1000.0)
    notes = db["notes"]
    notes.create_index("n")
    notes.create_index("who", kind="unique", fields=["author.name", 'tags[0]."odd key"'])
    notes.create_index("words", kind="text", fields=["title", "body"], stemming=False)
    notes.create_index("near", kind="vector", dimension=32)
    notes.create_index("far", kind="vector", dimension=3, metric="l2")
    numbers = np.random.default_rng(0)
    notes.insert_many(
        {
            "_id": f"id {n}",
            "_vectors": {"near": numbers.normal(size=32)} | ({"far": [n, 0, 0.1]} if n % 2 else {}),
            "n": n,
            "title": f"Überraschung {n} 🦊",
            "author": {"name": f"a{n}"},
            "tags": [{"odd key": n}, None, True, [], {}],
        }
        for n in range(1203)
    )
    odd = db["odd"]
    odd.insert({"floats": list(FLOATS), "ints": [2**63 - 1, -(2**63), 0], "b": 1, "a": {"z": 1, "aa": 2}})
    odd.insert({"when": dt.datetime.now(dt.UTC), "day": dt.date.today(), "raw": b"\0\xff", "at": dt.time(9, 30)})
    odd.insert({"n": 1}, id="late", expires=dt.timedelta(days=1))
    odd.insert({"n": 2}, id="soon", expires=dt.timedelta(milliseconds=1))
    odd.patch("late", {"n": 3})
    db.create_collection("empty", ttl=5.0)
    time.sleep(0.002)


def summary_of(db):
    with db.view() as view:
        return summary(view)


def test_there_and_back_everything_is_the_same(tmp_path, postgres_url):
    seen = []
    with (
        tissdb.open(tmp_path / "a.db") as first,
        tissdb.open(postgres_url) as server,
        tissdb.open(tmp_path / "b.db") as last,
    ):
        fill(first)
        there = tissdb.copy(first, server, progress=seen.append)
        back = tissdb.copy(server, last)
        assert there == back == summary_of(first) == summary_of(server) == summary_of(last)
        assert (there.collections, there.indexes, there.documents, there.vectors) == (3, 5, 1206, 1203 + 601)
        assert seen[-1] == 1206
        for db in (server, last):
            assert db.check() == []
            assert db.collections() == first.collections()
            assert [one.as_dict() | {"_rev": 0} for one in db["odd"]] == [
                one.as_dict() | {"_rev": 0} for one in first["odd"]
            ]
            for name in db.collections():
                mine, theirs = db[name].indexes, first[name].indexes
                assert [(i.name, i.kind, i.paths, i.options) for i in mine.values()] == [
                    (i.name, i.kind, i.paths, i.options) for i in theirs.values()
                ]
            query = np.ones(32)
            assert [
                (hit.document.id, hit.score) for hit in db["notes"].search(vector=query, vector_index="near")
            ] == [(hit.document.id, hit.score) for hit in first["notes"].search(vector=query, vector_index="near")]
            with pytest.raises(InvalidDocumentError):
                db["notes"].insert({"n": "text"})
            assert db["empty"][db["empty"].insert({}).id].expires is not None


def test_any_other_content_has_another_summary(db):
    db["a"].insert({"n": 1}, id="x")
    seen = {summary_of(db).digest}
    for change in (
        lambda: db["a"].patch("x", {"n": 1.0}),
        lambda: db["a"].create_index("n"),
        lambda: db["a"].create_index("v", kind="vector", dimension=1, metric="dot"),
        lambda: db["a"].replace("x", {"n": 1}, vectors={"v": [1]}),
        lambda: db["a"].replace("x", {"n": 1}, vectors={"v": [2]}),
        lambda: db["a"].insert({"n": 2}, expires=dt.timedelta(days=1)),
        lambda: db.create_collection("b"),
    ):
        change()
        seen.add(summary_of(db).digest)
    assert len(seen) == 8


def test_it_is_of_one_moment(db, tmp_path):
    db["a"].insert_many({"n": n} for n in range(1001))
    with tissdb.open(tmp_path / "copy.db") as target:
        copied = tissdb.copy(db, target, progress=lambda count: db["a"].insert({"n": -count}))
        assert copied.documents == 1001
        assert len(db["a"]) == 1004


def test_what_is_there_already_is_not_mixed_with_it(db, tmp_path):
    db["a"].insert({})
    db["b"].insert({})
    with tissdb.open(tmp_path / "copy.db") as target:
        target["b"].insert({"mine": True}, id="x")
        with pytest.raises(ConflictError, match="has 'b' already"):
            tissdb.copy(db, target)
        assert target.collections() == ["b"]
        db.drop_collection("b")
        assert tissdb.copy(db, target).collections == 1
        assert target["b"]["x"]["mine"]


def test_one_that_is_interrupted_leaves_nothing(db, tmp_path):
    db["a"].insert({})
    db["b"].insert_many({} for _ in range(600))

    def interrupt(count):
        if count > 500:
            raise KeyboardInterrupt

    with tissdb.open(tmp_path / "copy.db") as target:
        with pytest.raises(KeyboardInterrupt):
            tissdb.copy(db, target, progress=interrupt)
        assert target.collections() == []


def test_a_target_that_changes_under_it_is_found(db, tmp_path):
    db["a"].insert({}, id="x")
    with tissdb.open(tmp_path / "copy.db") as target, pytest.raises(CorruptionError, match="not what was sent"):
        tissdb.copy(db, target, progress=lambda count: target["a"].patch("x", {"n": 1}))
