"""A time limit of reads."""

from __future__ import annotations

import math
import time

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import DatabaseError, QueryError, QueryTimeoutError

SLOW = "SELECT COUNT(*) AS n FROM a AS x JOIN a AS y ON x.k = y.k JOIN a AS z ON y.k = z.k"


@pytest.fixture
def filled(db):
    db["a"].insert_many([{"n": n, "k": 1, "t": f"word{n} same"} for n in range(1000)])
    return db


def test_a_query_is_stopped_and_the_database_goes_on(filled):
    began = time.monotonic()
    with pytest.raises(QueryTimeoutError, match=r"longer than 0\.2 s") as stopped:
        filled.query(SLOW, timeout=0.2)
    assert stopped.value.hint
    assert time.monotonic() - began < 10
    assert filled.query("SELECT COUNT(*) AS n FROM a").rows == [(1000,)]
    filled["a"].insert({})
    assert filled["a"].count(timeout=10) == 1001


def test_in_a_transaction_what_was_written_stays(filled):
    with filled.transaction() as tx:
        tx["a"].insert({"n": "mine"}, id="mine")
        with pytest.raises(QueryTimeoutError):
            tx.query(SLOW, timeout=0.1)
        assert "mine" in tx["a"]
    assert "mine" in filled["a"]


def test_a_view_goes_on(filled):
    with filled.view() as view:
        with pytest.raises(QueryTimeoutError):
            view.query(SLOW, timeout=0.1)
        assert view["a"].count() == 1000


def test_every_read_has_a_limit(filled):
    filled["a"].create_index("words", kind="text", fields="t")
    for read in (
        lambda: filled["a"].count(timeout=1e-9),
        lambda: list(filled["a"].scan(timeout=1e-9)),
        lambda: filled["a"].search("same", timeout=1e-9),
        lambda: filled.query("SELECT n FROM a", timeout=1e-9),
    ):
        with pytest.raises(QueryTimeoutError):
            read()
    assert len(list(filled["a"].scan(timeout=60))) == 1000
    assert len(filled["a"].search("same", timeout=60)) == 10


def test_the_limit_of_a_database_is_that_of_its_reads(url):
    with tissdb.open(url, timeout=1e-9) as db:
        db["a"].insert({"n": 1}, id="x")
        for read in (db["a"].count, lambda: db.query("SELECT n FROM a"), lambda: list(db["a"])):
            with pytest.raises(QueryTimeoutError):
                read()
        assert db["a"].count(timeout=math.inf) == 1
        assert db["a"]["x"]["n"] == 1
        assert db.query("UPDATE a SET n = 2", timeout=None).changed == 1
        assert db.check() == []
        with db.view() as view, pytest.raises(QueryTimeoutError):
            view["a"].count()
        with db.transaction() as tx, pytest.raises(QueryTimeoutError):
            tx["a"].count()


@pytest.mark.parametrize("timeout", [0, -1, math.nan, "1", True])
def test_times_that_are_none_are_refused(db, timeout):
    db["a"].insert({})
    with pytest.raises(DatabaseError, match="is no time"):
        db["a"].count(timeout=timeout)


def test_a_database_is_not_opened_with_a_time_that_is_none():
    with pytest.raises(DatabaseError, match="is no time"):
        tissdb.open(":memory:", timeout=0)


def test_statements_that_write_have_no_limit(db):
    db["a"].insert({"n": 1})
    with pytest.raises(QueryError, match="statements that read"):
        db.query("DELETE FROM a", timeout=1)
    assert db["a"].count() == 1
