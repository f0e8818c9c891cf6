"""Databases that may not be written are read, and nothing is written beside them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import DatabaseError, StorageError
from quanta_tissu.tissdb.sqlite import frozen

KEY = bytes(range(32))


def fill(path, **options):
    with tissdb.open(path, **options) as db:
        db["a"].create_index("words", kind="text", fields="text")
        db["a"].create_index("near", kind="vector", dimension=2)
        db["a"].create_index("n", fields="n")
        for n in range(5):
            db["a"].insert({"n": n, "text": f"note {n}"}, id=str(n), vectors={"near": [1, n]})


@pytest.fixture
def forbidden(monkeypatch):
    """Nothing may be written from now on but copies; a superuser may by right."""

    def forbid(yes=True):
        monkeypatch.setattr(frozen, "_writable", lambda path: not yes or "copy" in path.name)

    return forbid


@pytest.fixture
def path(tmp_path, forbidden):
    path = tmp_path / "odd ?#%41 name.db"
    fill(path)
    forbidden()
    return path


def test_everything_is_read_and_nothing_is_written(path, tmp_path):
    before = path.read_bytes()
    with tissdb.open(path) as db:
        assert db["a"].get("3")["n"] == 3
        assert len(db["a"]) == len(list(db["a"].scan())) == 5
        assert [hit.document.id for hit in db["a"].search("note", vector=[1, 0], k=1)] == ["0"]
        assert db.query("SELECT n FROM a WHERE n > 3").rows == [(4,)]
        assert db.query("SELECT _id FROM a WHERE MATCH(words, '2')").rows == [("2",)]
        with db.view() as view:
            assert len(view["a"]) == 5
        assert db.check() == []
        assert db.head().seq == 9
        db.backup(tmp_path / "copy.db")
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == sorted([path, tmp_path / "copy.db"])


@pytest.mark.parametrize(
    "write",
    [
        lambda db: db["a"].insert({}),
        lambda db: db["a"].insert_many([{}, {}]),
        lambda db: db["a"].delete("1"),
        lambda db: db.query("DELETE FROM a"),
        lambda db: db.create_collection("b"),
        lambda db: db["a"].create_index("m", fields="m"),
        lambda db: db.transaction().__enter__(),
        lambda db: db.compact(),
    ],
)
def test_writes_are_refused(path, write):
    with tissdb.open(path) as db:
        for _ in range(2):
            with pytest.raises(StorageError, match="can only be read") as refused:
                write(db)
            assert "permissions" in refused.value.hint
        assert len(db["a"]) == 5


def test_an_encrypted_one_is_read_with_its_key(tmp_path, forbidden):
    fill(tmp_path / "a.db", key=KEY)
    forbidden()
    with tissdb.open(tmp_path / "a.db", key=KEY) as db:
        assert len(db["a"]) == 5
    with pytest.raises(DatabaseError):
        tissdb.open(tmp_path / "a.db", key=bytes(32))


@pytest.mark.parametrize("closed", [True, False])
def test_what_somebody_else_writes_meanwhile_is_not_mixed_with_what_was_read(path, forbidden, closed):
    with tissdb.open(path) as db:
        assert len(db["a"]) == 5
        forbidden(False)
        other = tissdb.open(path)
        try:
            other["a"].insert({})
            if closed:
                other.close()
            for read in (lambda: len(db["a"]), lambda: db["a"].get("1"), lambda: db.view().__enter__()):
                with pytest.raises(StorageError, match="was written meanwhile") as refused:
                    read()
                assert refused.value.hint == "open it again"
        finally:
            other.close()


def test_one_with_a_log_is_refused(path, forbidden):
    forbidden(False)
    with tissdb.open(path) as db:
        db["a"].insert({})
        forbidden()
        with pytest.raises(StorageError, match=r"has writes in its log .*-wal") as refused:
            tissdb.open(path)
    assert "copy both files" in refused.value.hint
    with tissdb.open(path) as db:  # who closes last takes the log over
        assert len(db["a"]) == 6


def test_one_of_an_earlier_format_is_refused(path, forbidden):
    forbidden(False)
    with tissdb.open(path) as db:
        db.write(lambda changes: changes.connection.run("UPDATE _settings SET value = '1' WHERE name = 'format'"))
    forbidden()
    with pytest.raises(DatabaseError, match="has format 1") as refused:
        tissdb.open(path)
    assert "right to write" in refused.value.hint


def test_permissions_say_which_may_not_be_written(tmp_path):
    (tmp_path / "folder").mkdir()
    script = "import sys, quanta_tissu.tissdb as tissdb\nwith tissdb.open(sys.argv[1]) as db: print(len(db['a']))"
    fill(tmp_path / "folder" / "a.db")
    (tmp_path / "folder" / "a.db").chmod(0o444)
    (tmp_path / "folder").chmod(0o555)
    # A superuser may write everywhere unless he gives that right up.
    without = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.getuid() == 0 else []
    try:
        said = [
            subprocess.run(
                [*without, sys.executable, "-c", script, tmp_path / "folder" / name],
                capture_output=True, text=True, check=False,
            )
            for name in ("a.db", "b.db")
        ]  # fmt: skip
        assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a.db"]
    finally:
        (tmp_path / "folder").chmod(0o755)
    assert (said[0].stdout, said[0].stderr) == ("5\n", "")
    assert "StorageError" in said[1].stderr
