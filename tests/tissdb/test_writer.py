"""Work of many is committed together, and fails alone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import ConflictError, DatabaseError, UnknownOutcomeError


def count_commits(db):
    """The list of commits to come, one item each."""
    connection, made = db._writer._connection, []
    commit = connection.commit

    def counted():
        made.append(1)
        commit()

    connection.commit = counted
    return made


def test_what_comes_while_it_writes_is_committed_together(db):
    db["a"].insert({})
    commits = count_commits(db)
    with ThreadPoolExecutor(20) as pool, db.transaction():
        done = [pool.submit(db["a"].insert, {"n": n}) for n in range(20)]
        while db._writer._queue.qsize() < 20:
            time.sleep(0.001)
    for one in done:
        one.result()
    assert len(db["a"]) == 21
    assert len(commits) == 2


def test_one_that_fails_among_them_fails_alone(db):
    db["a"].insert({}, id="x")
    barrier = threading.Barrier(10)

    def insert(n):
        barrier.wait()
        return db["a"].insert({"n": n}, id="x" if n == 3 else None)

    with ThreadPoolExecutor(10) as pool:
        done = [pool.submit(insert, n) for n in range(10)]
    failed = [n for n, one in enumerate(done) if one.exception()]
    assert failed == [3]
    assert isinstance(done[3].exception(), ConflictError)
    assert len(db["a"]) == 10


def test_after_a_failed_commit_it_writes_on_with_a_new_connection(path):
    with tissdb.open(path) as db:
        db["a"].insert({}, id="x")
        broken = db._writer._connection

        def fail():
            raise UnknownOutcomeError("the disk is on fire")

        broken.commit = fail
        with pytest.raises(UnknownOutcomeError, match="fire"):
            db["a"].insert({}, id="y")
        assert "y" not in db["a"]
        db["a"].insert({}, id="z")
        assert db._writer._connection is not broken
        assert "z" in db["a"]


def test_a_closed_database_says_so(path):
    db = tissdb.open(path)
    db.close()
    db.close()
    with pytest.raises(DatabaseError, match="closed"):
        db["a"].insert({})


def test_closing_waits_for_what_was_handed_in(path):
    db = tissdb.open(path)
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(db["a"].insert, {"n": n}) for n in range(100)]
    db.close()
    for one in done:
        one.result()
    with tissdb.open(path) as again:
        assert len(again["a"]) == 100
