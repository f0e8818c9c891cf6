"""Copies are whole, checked, and never in place of something else."""

from __future__ import annotations

import threading

import apsw
import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import CorruptionError, StorageError
from quanta_tissu.tissdb.backup import restore


@pytest.fixture
def copy(tmp_path):
    return tmp_path / "copy.db"


def fill(db, count=300):
    db["a"].create_index("words", kind="text", fields="text")
    db["a"].create_index("near", kind="vector", dimension=2)
    for n in range(count):
        db["a"].insert({"text": f"word{n}", "n": n}, vectors={"near": [n, 1]})


def test_a_backup_has_everything(path, copy):
    with tissdb.open(path) as db:
        fill(db)
        db.backup(copy)
        before = db.head()
    assert sorted(file.name for file in copy.parent.iterdir() if "copy" in file.name) == ["copy.db"]
    with tissdb.open(copy) as db:
        assert db.head() == before
        assert len(db["a"]) == 300
        assert db.check() == []


def test_it_is_of_one_moment_while_others_write(path, copy):
    with tissdb.open(path) as db:
        fill(db)
        stop = threading.Event()

        def write():
            while not stop.is_set():
                with db.transaction() as tx:
                    tx["b"].insert({})
                    tx["c"].insert({})

        thread = threading.Thread(target=write)
        thread.start()
        db.backup(copy)
        stop.set()
        thread.join()
    with tissdb.open(copy) as db:
        assert len(db["b"]) == len(db["c"])
        assert db.check() == []


def test_it_replaces_nothing(path, copy):
    copy.write_text("mine")
    with tissdb.open(path) as db, pytest.raises(StorageError, match="there already"):
        db.backup(copy)
    assert copy.read_text() == "mine"


def test_a_folder_that_is_not_there_is_named(path, tmp_path):
    with tissdb.open(path) as db, pytest.raises(StorageError):
        db.backup(tmp_path / "no" / "copy.db")


def test_a_damaged_database_gives_no_backup(path, copy):
    with tissdb.open(path) as db:
        fill(db, 5)
        connection = apsw.Connection(str(path))
        connection.execute("UPDATE d_1 SET doc = jsonb('{\"n\":99}') WHERE rid = 5").fetchall()
        connection.close()
        with pytest.raises(CorruptionError, match="not what the log says"):
            db.backup(copy)
    assert not copy.exists()


def test_a_backup_is_restored_where_nothing_is(path, copy, tmp_path):
    with tissdb.open(path) as db:
        fill(db, 5)
        db.backup(copy)
    with pytest.raises(StorageError, match="there already"):
        restore(copy, path)
    again = tmp_path / "again.db"
    restore(copy, again)
    with tissdb.open(again) as db:
        assert len(db["a"]) == 5
    with pytest.raises(StorageError, match="no backup"):
        restore(tmp_path / "none", tmp_path / "x.db")


def test_what_is_no_backup_is_not_restored(copy, tmp_path):
    copy.write_bytes(b"hello" * 1000)
    with pytest.raises(CorruptionError):
        restore(copy, tmp_path / "x.db")
    assert not (tmp_path / "x.db").exists()
