"""INSERT, UPDATE and DELETE."""

from __future__ import annotations

import datetime as dt

import pytest

from quanta_tissu.errors import ConflictError, InvalidDocumentError, QueryError, UniqueError


def test_insert_makes_the_collection_and_documents_of_named_fields(db):
    result = db.query(
        "INSERT INTO notes (_id, title, n) VALUES ('a', 'One', 1 + 1), (?, ?, NULL)", ["b", [1, {"x": 2}]]
    )
    assert (result.changed, result.rows, result.columns) == (2, [], ())
    assert db["notes"]["a"].value == {"title": "One", "n": 2}
    assert db["notes"]["b"].value == {"title": [1, {"x": 2}], "n": None}


def test_insert_takes_whole_documents(db):
    db.query(
        "INSERT INTO c VALUES ({'_id': 'a', 'tags': ['x', 1], 'at': TIMESTAMP '2026-01-01T00:00:00Z'}), (:doc)",
        {"doc": {"b": 1}},
    )
    assert db["c"]["a"].value == {"tags": ["x", 1], "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    assert db.query("SELECT b FROM c WHERE b = 1").rows == [(1,)]


def test_insert_without_an_id_makes_one_and_expires_as_told(db):
    db.query("INSERT INTO c (a, _expires) VALUES (1, NOW() + INTERVAL '1 hour'), (2, NOW() - INTERVAL '1 hour')")
    [document] = db["c"].scan()
    assert len(document.id) == 36
    assert document.expires - document.created == 3600 * 10**6
    with pytest.raises(InvalidDocumentError, match="no moment"):
        db.query("INSERT INTO c (_expires) VALUES (5)")


def test_an_insert_is_all_or_nothing(db):
    db["c"].insert({}, id="taken")
    with pytest.raises(ConflictError):
        db.query("INSERT INTO c (_id) VALUES ('new'), ('taken')")
    assert [one.id for one in db["c"].scan()] == ["taken"]


def test_writes_keep_to_schema_and_unique_indexes_and_are_logged(db):
    db.create_collection("c", schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    db["c"].create_index("n", kind="unique")
    db.query("INSERT INTO c (_id, n) VALUES ('a', 1), ('b', 2)")
    with pytest.raises(InvalidDocumentError, match="n"):
        db.query("UPDATE c SET n = 'x'")
    with pytest.raises(UniqueError):
        db.query("UPDATE c SET n = 2 WHERE _id = 'a'")
    with pytest.raises(InvalidDocumentError, match="kept by the database"):
        db.query("INSERT INTO c (_score) VALUES (1)")
    before = db.head().seq
    db.query("UPDATE c SET n = n + 10")
    db.query("DELETE FROM c WHERE n = 11")
    assert [(one.action, one.id) for one in db.log(before)] == [("update", "a"), ("update", "b"), ("delete", "a")]
    assert db.check() == []


def test_update_sets_paths_and_every_right_side_sees_the_document_as_it_was(db):
    db["c"].insert({"a": 1, "b": {"c": [1, {"d": 2}]}, "e": None}, id="x")
    result = db.query("UPDATE c SET a = b.c[0] + 1, b.c[1].d = a, e.f.g = ?, new = b WHERE a = 1", ["deep"])
    assert result.changed == 1
    assert db["c"]["x"].value == {
        "a": 2,
        "b": {"c": [1, {"d": 1}]},
        "e": {"f": {"g": "deep"}},
        "new": {"c": [1, {"d": 2}]},
    }
    assert db["c"]["x"].revision > 1


def test_update_reckons_as_queries_do(db):
    db["c"].insert({"n": 2**63 - 1, "d": dt.date(2024, 1, 31), "s": "x"}, id="x")
    db.query("UPDATE c SET n = n + 1, d = d + INTERVAL '1 month', s = s + 1, q = 1 / 0")
    assert db["c"]["x"].value == {"n": float(2**63), "d": dt.date(2024, 2, 29), "s": None, "q": None}


def test_update_cannot_put_fields_into_what_is_no_object(db):
    db["c"].insert({"a": "text", "l": [1]}, id="x")
    for sql, path in [("a.b", "a.b"), ("l[1]", "l[1]"), ("a[0]", "a[0]"), ("l.x", "l.x")]:
        with pytest.raises(InvalidDocumentError, match="cannot be set") as caught:
            db.query(f"UPDATE c SET {sql} = 1")
        assert caught.value.path == path
    db.query("UPDATE c SET l[0] = 2")
    assert db["c"]["x"]["l"] == [2]


def test_update_and_delete_take_the_documents_of_where_and_say_how_many(db):
    for n in range(10):
        db["c"].insert({"n": n})
    assert db.query("UPDATE c SET big = TRUE WHERE n >= ?", [7]).changed == 3
    assert db.query("DELETE FROM c WHERE NOT big OR n = 9").changed == 1
    assert db.query("DELETE FROM c WHERE c.n < 0").changed == 0
    assert db.query("DELETE FROM c AS x WHERE x.big").changed == 2
    assert db.query("DELETE FROM c").changed == 7
    with pytest.raises(QueryError, match="no collection 'd'"):
        db.query("UPDATE d SET a = 1")


def test_a_key_makes_a_write_happen_once(db):
    for _ in range(2):
        assert db.query("INSERT INTO c (a) VALUES (1)", key="k").changed == 1
    assert len(db["c"]) == 1


def test_writes_join_transactions(db):
    with pytest.raises(RuntimeError), db.transaction() as transaction:
        assert transaction.query("INSERT INTO c (a) VALUES (1)").changed == 1
        raise RuntimeError
    assert "c" not in db.collections()
