"""All of a transaction or nothing of it; views of one moment."""

from __future__ import annotations

import threading

import pytest

from quanta_tissu.errors import ConflictError, DatabaseError


def test_writes_appear_together_when_it_ends(db):
    with db.transaction() as tx:
        tx["a"].insert({"n": 1}, id="x")
        tx["b"].insert({"n": 2}, id="y")
        assert tx["a"]["x"]["n"] == 1
        assert "x" not in db["a"]
    assert db["a"]["x"]["n"] == 1
    assert db["b"]["y"]["n"] == 2


def test_an_exception_undoes_everything(db):
    db["a"].insert({"n": 1}, id="x")
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        tx["a"].patch("x", {"n": 2})
        tx["new"].insert({})
        tx["a"].create_index("n")
        raise ZeroDivisionError
    assert db["a"]["x"]["n"] == 1
    assert db.collections() == ["a"]
    assert db["a"].indexes == {}
    db["new"].insert({})


def test_a_write_that_fails_is_undone_alone(db):
    with db.transaction() as tx:
        tx["a"].insert({}, id="x")
        with pytest.raises(ConflictError):
            tx["a"].insert_many([{"_id": "y"}, {"_id": "x"}])
        tx["a"].insert({}, id="z")
    assert sorted(document.id for document in db["a"]) == ["x", "z"]


def test_savepoints_nest(db):
    with db.transaction() as tx:
        tx["a"].insert({}, id="1")
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            tx["a"].insert({}, id="2")
            with tx.savepoint():
                tx["a"].insert({}, id="3")
            raise ZeroDivisionError
        with tx.savepoint():
            tx["a"].insert({}, id="4")
    assert sorted(document.id for document in db["a"]) == ["1", "4"]


def test_writing_beside_it_in_the_same_thread_is_refused_instead_of_waiting_for_ever(db):
    with db.transaction() as tx:
        with pytest.raises(DatabaseError, match="wait for itself"):
            db["a"].insert({})
        with pytest.raises(DatabaseError, match="wait for itself"), db.transaction():
            pass
        tx["a"].insert({})
    assert len(db["a"]) == 1


def test_it_cannot_be_used_after_its_end(db):
    with db.transaction() as tx:
        collection = tx["a"]
    with pytest.raises(DatabaseError, match="ended"):
        collection.insert({})


def test_other_threads_wait_and_then_see_it(db):
    db["a"].insert({"n": 0}, id="x")

    def add():
        for _ in range(20):
            with db.transaction() as tx:
                tx["a"].patch("x", {"n": tx["a"]["x"]["n"] + 1})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db["a"]["x"]["n"] == 80


def test_a_key_holds_inside_it_too(db):
    with db.transaction() as tx:
        first = tx["a"].insert({}, key="k")
        assert tx["a"].insert({}, key="k") == first
    assert db["a"].insert({}, key="k") == first


def test_a_view_stays_at_its_moment(db):
    db["a"].insert({"n": 1}, id="x")
    with db.view() as view:
        db["a"].patch("x", {"n": 2})
        db["a"].insert({})
        db["b"].insert({})
        assert view["a"]["x"]["n"] == 1
        assert len(view["a"]) == 1
        assert len(view["b"]) == 0
        with pytest.raises(DatabaseError, match="cannot be written"):
            view["a"].insert({})
    assert db["a"]["x"]["n"] == 2


def test_an_index_of_words_whose_making_was_undone_leaves_nothing_behind(db):
    notes = db.collection("notes")
    notes.insert({"title": "an ant"}, id="a")
    notes.create_index("title", kind="text")
    with db.transaction() as transaction:
        with pytest.raises(RuntimeError), transaction.savepoint():
            transaction["notes"].create_index("body", kind="text")
            transaction["notes"].insert({"title": "a bee", "body": "a bee"}, id="b")
            raise RuntimeError
        with transaction.savepoint():
            transaction["notes"].insert({"title": "a cat"}, id="c")
        transaction["notes"].create_index("body", kind="text")
    assert list(notes.indexes) == ["title", "body"]
    assert [hit.document.id for hit in notes.search("bee cat", text_index="title")] == ["c"]
    assert db.check() == []
