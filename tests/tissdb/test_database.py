"""Opening, closing, and several processes at one file."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import time

import apsw
import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import BusyError, CorruptionError, DatabaseError, StorageError
from quanta_tissu.tissdb import catalog as catalogs


def test_what_was_written_is_there_when_it_is_opened_again(path):
    with tissdb.open(path) as db:
        db["a"].create_index("n")
        written = db["a"].insert({"n": 1})
    with tissdb.open(path) as db:
        assert db["a"][written.id]["n"] == 1
        assert list(db["a"].indexes) == ["n"]
        assert db["a"].insert({}).revision == written.revision + 1


def test_a_database_in_memory_is_gone_afterwards():
    with tissdb.open(":memory:") as db:
        db["a"].insert({})
        folder = db._backend.path.parent
        assert folder.is_dir()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "error"),
    [("missing/x.db", StorageError), (".", StorageError), ("mysql://host/x", DatabaseError)],
)
def test_addresses_that_lead_nowhere(tmp_path, monkeypatch, name, error):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        tissdb.open(name)


def test_a_file_that_is_no_database(path):
    path.write_bytes(b"hello, this is text\n" * 1000)
    with pytest.raises(CorruptionError):
        tissdb.open(path)
    assert path.read_bytes().startswith(b"hello")


def test_a_database_of_somebody_else(path):
    apsw.Connection(str(path)).execute("CREATE TABLE x (a)")
    with pytest.raises(CorruptionError, match="not one of TissDB"):
        tissdb.open(path)


def test_a_file_of_a_later_format_is_refused(path):
    tissdb.open(path).close()
    apsw.Connection(str(path)).execute("UPDATE _settings SET value = '99' WHERE name = 'format'")
    with pytest.raises(DatabaseError, match="format 99"):
        tissdb.open(path)


def test_an_sqlite_that_loses_data_is_refused(path, monkeypatch):
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(DatabaseError, match="can lose committed writes"):
        tissdb.open(path)


def test_a_read_only_folder_is_an_error_of_ours(path, monkeypatch):
    tissdb.open(path).close()
    path.chmod(0o444)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises((BusyError, StorageError)):
        tissdb.open(path, busy_timeout=0.05)


def test_a_writer_elsewhere_is_waited_for_and_then_named(path):
    with tissdb.open(path, busy_timeout=0.05) as db:
        db["a"].insert({})
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError, match="another program"):
            db["a"].insert({})
        other.execute("ROLLBACK")
        db["a"].insert({})
        assert len(db["a"]) == 2


def test_two_databases_at_one_file_see_each_other(path):
    with tissdb.open(path) as one, tissdb.open(path) as two:
        one["a"].insert({"n": 1}, id="x")
        assert two["a"]["x"]["n"] == 1
        two["a"].create_index("n", kind="unique")
        two["b"].insert({})
        assert one.collections() == ["a", "b"]
        one["a"].insert({"n": 2}, id="y")
        with pytest.raises(DatabaseError):
            one["a"].insert({"n": 2})
        two.drop_collection("b")
        assert len(one["b"]) == 0


def insert_some(path, name):
    with tissdb.open(path) as db:
        for n in range(50):
            db["a"].insert({"who": name, "n": n})


def test_several_processes_write_without_losing_anything(path):
    tissdb.open(path).close()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=insert_some, args=(path, name)) for name in ("p", "q", "r")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with tissdb.open(path) as db:
        assert len(db["a"]) == 150


def test_a_forked_process_must_open_its_own(path):
    with tissdb.open(path) as db:
        db["a"].insert({}, id="x")
        db._process -= 1  # as it looks in a child
        with pytest.raises(DatabaseError, match="forked"):
            db["a"].get("x")


def test_a_sweep_removes_what_has_expired_and_old_keys(db):
    db["a"].insert({}, id="y")
    db["a"].insert({}, id="x", expires=dt.timedelta(microseconds=1), key="k")
    time.sleep(0.001)
    assert db.sweep() == 1
    assert [entry.action for entry in db.log()][-1] == "expire"
    db.write(lambda changes: changes.connection.run("UPDATE _requests SET time = 0"))
    db.sweep()
    assert db["a"].insert({}, key="k").id != "x"


def test_size_and_compaction(path):
    with tissdb.open(path) as db:
        db["a"].insert_many({"text": "x" * 1000} for _ in range(2000))
        db.drop_collection("a")
        db["b"].insert({"n": 1}, id="x")
        before = db.size()
        db.compact()
        assert db.size() < before / 2
        assert db["b"]["x"]["n"] == 1
        assert db.check() == []


def test_changes_are_made_on_somebodys_behalf(db):
    db.as_actor("ada")["a"].insert({})
    db["a"].insert({})
    assert [entry.actor for entry in db.log()] == ["ada", "ada", "tester"]
    assert (db.actor, db.as_actor("ada").actor) == ("tester", "ada")


def test_who_acts_for_somebody_knows_the_same_collections(db, monkeypatch):
    other = db.as_actor("ada")
    db["a"].insert({"n": 1}, id="x")
    monkeypatch.setattr(catalogs, "load", lambda connection: pytest.fail("it is known already"))
    assert other["a"]["x"]["n"] == 1
    other["a"].insert({"n": 2})
    assert db["a"].count() == 2
