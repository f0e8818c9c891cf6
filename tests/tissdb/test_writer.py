"""Work of many is committed together, and fails alone."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import ConflictError, DatabaseError, InvalidDocumentError, UnknownOutcomeError
from quanta_tissu.tissdb.documents import NewDocument


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


def test_inserts_that_come_together_are_undone_one_by_one_where_they_fail(db):
    db["a"].create_index("text", kind="text")
    db["a"].insert({"text": "first"}, id="3")
    with ThreadPoolExecutor(20) as pool, db.transaction():
        done = [
            pool.submit(db["b" if n % 5 == 0 else "a"].insert, {"text": f"word{n}"}, id=str(n % 12))
            for n in range(20)
        ]
        while db._writer._queue.qsize() < 20:
            time.sleep(0.001)
    failed = sum(isinstance(one.exception(), ConflictError) for one in done)
    expected = {("b" if n % 5 == 0 else "a", str(n % 12)) for n in range(20)} | {("a", "3")}
    found = {(name, document.id) for name in ("a", "b") for document in db[name]}
    assert found == expected
    assert failed == 21 - len(expected)
    assert db.verify_log().ok
    for one in done:
        if one.exception() is None:
            assert one.result().revision <= db.head().seq
    assert len({one.result().revision for one in done if one.exception() is None}) == 20 - failed
    assert len(db["a"].search("first")) == 1


def test_a_collection_of_work_that_was_undone_is_not_remembered(db):
    db["a"].insert({}, id="x")
    with ThreadPoolExecutor(2) as pool, db.transaction():
        one = pool.submit(db["new"].insert, {}, id="y")
        while db._writer._queue.qsize() < 1:
            time.sleep(0.001)
        two = pool.submit(db["a"].insert, {}, id="x")
        while db._writer._queue.qsize() < 2:
            time.sleep(0.001)
    assert isinstance(two.exception(), ConflictError)
    assert one.result().id == "y"
    assert "y" in db["new"]
    assert db.collections() == ["a", "new"]


class SignalledError(Exception):
    """What a signal raises."""


@pytest.fixture
def signalled():
    """A signal that raises `SignalledError` in the main thread."""

    def interrupt(number, frame):
        raise SignalledError

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("place", range(3))
def test_one_that_no_longer_waits_does_not_keep_the_others_waiting(db, signalled, place):
    db["a"].insert({}, id="x")
    left, opened = threading.Event(), threading.Event()
    queue = db._writer._queue

    def until(count):
        while queue.qsize() < count:
            time.sleep(0.001)

    def hold():
        with db.transaction():
            opened.set()
            left.wait()

    def interrupt():
        until(place + 1)
        time.sleep(0.05)  # the main thread waits by now
        signalled()

    with ThreadPoolExecutor(5) as pool:
        holding = pool.submit(hold)
        opened.wait()
        before = [pool.submit(db["a"].insert, {"n": n}) for n in range(place)]
        until(place)
        interrupting = pool.submit(interrupt)
        with pytest.raises(SignalledError):
            db["a"].insert({}, id="mine")
        interrupting.result()
        behind = [pool.submit(db["a"].insert, {"n": n}) for n in range(place, 2)]
        until(3)
        left.set()
        for one in [holding, *before, *behind]:
            one.result(timeout=30)
    assert "mine" in db["a"]
    assert len(db["a"]) == 4


def test_who_is_alone_writes_in_his_own_thread(db):
    found = []
    db.write(lambda changes: found.append(threading.get_ident()))
    assert found == [threading.get_ident()]


def test_a_write_inside_of_a_write_is_refused(db):
    with pytest.raises(DatabaseError, match="inside a transaction of the same thread"):
        db.write(lambda changes: db["a"].insert({}))
    db["a"].insert({})
    assert len(db["a"]) == 1


def test_who_writes_and_is_interrupted_leaves_nothing_and_nobody_waiting(db, signalled):
    def work(changes):
        changes.insert(changes.collection("a", create=True), [NewDocument("x", {})])
        signalled()
        time.sleep(5)

    with pytest.raises(SignalledError):
        db.write(work)
    assert "x" not in db["a"]
    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(db["a"].insert, {"n": n}) for n in range(10)]:
            one.result(timeout=30)
    db["a"].insert({}, id="x")
    assert len(db["a"]) == 11


def test_a_database_is_closed_after_the_last_write_in_a_thread_of_its_own(path):
    db = tissdb.open(path)
    begun, going_on = threading.Event(), threading.Event()

    def work(changes):
        begun.set()
        going_on.wait()
        changes.insert(changes.collection("a", create=True), [NewDocument("x", {})])

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(db.write, work)
        begun.wait()
        closing = pool.submit(db.close)
        going_on.set()
        writing.result()
        closing.result()
    with pytest.raises(DatabaseError, match="closed"):
        db["a"].insert({})
    with tissdb.open(path) as again:
        assert "x" in again["a"]


def test_what_is_committed_is_told_before_long_work_that_comes_next(db):
    db["a"].insert({})
    connection, commits, told = db._writer._connection, [], threading.Event()
    commit = connection.commit

    def commit_when_more_has_come():
        commits.append(1)
        while len(commits) == 2 and db._writer._queue.qsize() < 1:
            time.sleep(0.001)
        commit()

    with ThreadPoolExecutor(2) as pool:
        with db.transaction():
            connection.commit = commit_when_more_has_come
            first = pool.submit(db["a"].insert, {})
            while db._writer._queue.qsize() < 1:
                time.sleep(0.001)
        long = pool.submit(db.write, lambda changes: told.wait(20))
        first.result(timeout=10)
        told.set()
        assert long.result(timeout=30)


def test_what_cannot_be_stored_undoes_nothing_of_others(db):
    db["a"].create_index("near", kind="vector", dimension=2)
    undone = []
    rollback = db._writer._connection.rollback
    db._writer._connection.rollback = lambda: undone.append(1) or rollback()
    wrong = [
        ({"n": float("nan")}, {}, "n = nan"),
        ({}, {"near": [1.0]}, "near"),
        ({}, {"far": [1.0, 2.0]}, "no vector index 'far'"),
    ]
    with ThreadPoolExecutor(20) as pool, db.transaction():
        refused = [pool.submit(db["a"].insert, value, vectors=vectors) for value, vectors, _ in wrong]
        done = [pool.submit(db["a"].insert, {"n": n}, vectors={"near": [1, n]}) for n in range(10)]
        alone = pool.submit(db["new"].insert, {"n": float("nan")})
        while db._writer._queue.qsize() < 14:
            time.sleep(0.001)
    for one, (_, _, match) in zip(refused, wrong, strict=True):
        with pytest.raises(DatabaseError, match=match):
            one.result()
    with pytest.raises(InvalidDocumentError, match="n = nan"):
        alone.result()
    assert {db["a"][one.result().id].value["n"] for one in done} == set(range(10))
    assert all(db["a"][one.result().id].revision == one.result().revision for one in done)
    assert db.collections() == ["a"]
    assert undone == []
    assert db.verify_log().ok


def test_answers_of_one_commit_are_for_those_who_asked(db):
    db["a"].insert({}, id="5")
    with ThreadPoolExecutor(20) as pool, db.transaction():
        done = [pool.submit(db["a"].insert, {}, id=str(n)) for n in range(20)]
        while db._writer._queue.qsize() < 20:
            time.sleep(0.001)
    answers = ["refused" if one.exception() else one.result().id for one in done]
    assert answers == ["refused" if n == 5 else str(n) for n in range(20)]
    assert isinstance(done[5].exception(), ConflictError)
