"""The write-ahead log stays small while others write, and nobody waits for who reads."""

from __future__ import annotations

import time

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb import writer
from quanta_tissu.tissdb.sqlite import backend


@pytest.fixture
def db(path, monkeypatch):
    """A database whose files are kept in order all the time."""
    monkeypatch.setattr(backend, "_CHECKPOINT_BYTES", 2**16)
    monkeypatch.setattr(backend, "_RESTART_BYTES", 2**20)
    monkeypatch.setattr(writer, "_MAINTENANCE_SECONDS", 0.01)
    with tissdb.open(path) as opened:
        yield opened


def insert_megabytes(db, count):
    for _ in range(count * 10):
        db["a"].insert_many({"text": "x" * 1000} for _ in range(100))


def test_it_begins_anew_although_somebody_always_writes(db):
    written = 0
    while written < 20 or db._backend._log_size() > written * 10**6 / 4:
        insert_megabytes(db, 1)  # and at least as much into the log, which never shrinks
        written += 1
        assert written < 1000
    assert len(db["a"]) == written * 1000
    assert db.check() == []


def test_a_reader_of_the_past_makes_it_grow_and_nobody_wait(db):
    db["a"].insert({}, id="x")
    with db.view() as view:
        insert_megabytes(db, 3)
        started = time.monotonic()
        db._backend.maintain()
        db["a"].insert({})
        assert time.monotonic() - started < 30
        assert [document.id for document in view["a"]] == ["x"]
    db._backend.maintain()
    before = db._backend._log_size()
    insert_megabytes(db, 1)
    assert db._backend._log_size() <= before


def test_what_fails_in_maintenance_is_kept_for_whoever_asks_and_stops_nothing(db, monkeypatch):
    def fail():
        raise OSError("no")

    monkeypatch.setattr(db._backend, "maintain", fail)
    deadline = time.monotonic() + 60
    while db._writer.last_maintenance_error is None and time.monotonic() < deadline:
        db["a"].insert({})
    assert isinstance(db._writer.last_maintenance_error, OSError)
