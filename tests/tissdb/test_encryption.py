"""Encrypted databases: nothing can be read without the key, and everything can with it."""

from __future__ import annotations

import shutil

import apsw
import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import BusyError, CorruptionError, DatabaseError, NotFoundError
from quanta_tissu.tissdb import Secret, rekey
from quanta_tissu.tissdb.backup import restore

KEY = bytes(range(32))
MARK = "xylophone"


def fill(db, count=200):
    notes = db["notes"]
    notes.create_index("words", kind="text", fields="text")
    notes.create_index("near", kind="vector", dimension=2)
    notes.create_index("text")
    notes.insert_many({"_id": f"d{n}", "text": f"{MARK} {n}", "_vectors": {"near": [n, 1]}} for n in range(count))


def shows(folder):
    """Files in which what was written can be read."""
    return [file.name for file in folder.iterdir() if file.is_file() and MARK.encode() in file.read_bytes()]


def whole(db):
    return [document.as_dict() for document in db["notes"]]


@pytest.fixture(params=[{"key": KEY}, {"passphrase": "correct horse"}], ids=["key", "passphrase"])
def secret(request):
    return request.param


def test_no_file_of_the_folder_shows_what_was_written(path, secret):
    with tissdb.open(path, **secret) as db:
        fill(db)
        list(db.query("SELECT text FROM notes ORDER BY text DESC").rows)
        assert (path.parent / "test.db-wal").stat().st_size > 0
        assert shows(path.parent) == []
        db.backup(path.parent / "copy.db")
        assert shows(path.parent) == []
        before = whole(db)
    assert shows(path.parent) == []
    for name in (path, path.parent / "copy.db"):
        with tissdb.open(name, **secret) as db:
            assert whole(db) == before
            assert db["notes"].search("7", k=1)[0].document.id == "d7"
            assert db.check() == []


def test_without_encryption_the_search_of_the_files_finds_it(path):
    """A test of the test."""
    with tissdb.open(path) as db:
        fill(db)
        assert "test.db-wal" in shows(path.parent)
    assert shows(path.parent) == ["test.db"]


def test_another_key_opens_nothing_and_loses_nothing(path, secret):
    with tissdb.open(path, **secret) as db:
        fill(db)
        before = whole(db)
        shutil.copy(path, path.parent / "crashed.db")
        shutil.copy(f"{path}-wal", path.parent / "crashed.db-wal")
    for name in (path, path.parent / "crashed.db"):
        for wrong in ({"key": bytes(32)}, {"passphrase": "other"}, {}):
            with pytest.raises(CorruptionError, match=rf"{name.name} is no database.*not its key"):
                tissdb.open(name, **wrong)
        with tissdb.open(name, **secret) as db:
            assert whole(db) == before


def test_a_database_that_is_not_encrypted_needs_no_key(path):
    tissdb.open(path).close()
    with pytest.raises(DatabaseError, match="is not encrypted"):
        tissdb.open(path, key=KEY)


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ({"key": b"short"}, "a key of 5 bytes"),
        ({"passphrase": ""}, "empty passphrase"),
        ({"key": KEY, "passphrase": "x"}, "either"),
    ],
)
def test_what_is_no_key(path, secret, says):
    with pytest.raises(DatabaseError, match=says):
        tissdb.open(path, **secret)
    assert not path.exists()


def test_a_secret_does_not_show_itself():
    assert "horse" not in repr(Secret(passphrase="correct horse"))


@pytest.mark.parametrize("url", ["postgresql://nobody@localhost/x", ":memory:"])
def test_only_files_have_keys(url):
    with pytest.raises(DatabaseError, match="only databases in a file"):
        tissdb.open(url, key=KEY)


def test_a_derived_key_is_the_one_that_the_cipher_itself_derives(path):
    """So that other programs can open the file with the passphrase."""
    with tissdb.open(path, passphrase="correct horse") as db:
        fill(db, 3)
    connection = apsw.Connection(str(path), vfs="multipleciphers-unix")
    connection.pragma("cipher", "chacha20")
    connection.pragma("kdf_iter", 600_000)
    connection.pragma("key", "correct horse")
    assert connection.execute("SELECT count(*) FROM d_1").fetchall() == [(3,)]
    connection.close()


def test_two_files_with_one_passphrase_have_nothing_in_common(tmp_path):
    for name in ("one.db", "two.db"):
        tissdb.open(tmp_path / name, passphrase="correct horse").close()
    one, two = ((tmp_path / name).read_bytes() for name in ("one.db", "two.db"))
    assert one[:16] != two[:16]
    assert one[32:4096] != two[32:4096]


@pytest.mark.parametrize("old", [None, Secret(key=KEY), Secret(passphrase="correct horse")])
@pytest.mark.parametrize("new", [None, Secret(key=KEY[::-1]), Secret(passphrase="battery staple")])
def test_a_key_can_be_given_changed_and_taken_away(path, old, new):
    def open_with(secret):
        return tissdb.open(
            path, **({} if secret is None else {"key": secret.key, "passphrase": secret.passphrase})
        )

    with open_with(old) as db:
        fill(db, 50)
        before, head = whole(db), db.head()
    rekey(path, old=old, new=new)
    assert shows(path.parent) == ([path.name] if new is None else [])
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with open_with(new) as db:
        assert (whole(db), db.head(), db.check()) == (before, head, [])
        db["notes"].insert({})
    if (old, new) != (None, None):
        with pytest.raises(DatabaseError):
            open_with(old)


def test_a_key_is_not_changed_while_somebody_has_the_file_open(path):
    with tissdb.open(path) as db:
        fill(db, 3)
        with pytest.raises(BusyError, match="is open elsewhere"):
            rekey(path, old=None, new=Secret(key=KEY), busy_timeout=0.05)
        assert len(db["notes"]) == 3


def test_with_another_key_it_is_not_changed(path):
    with tissdb.open(path, key=KEY) as db:
        fill(db, 3)
    before = path.read_bytes()
    with pytest.raises(CorruptionError, match="not its key"):
        rekey(path, old=Secret(key=bytes(32)), new=None)
    assert path.read_bytes() == before


def test_only_what_is_there_gets_a_key(path):
    with pytest.raises(NotFoundError):
        rekey(path, old=None, new=Secret(key=KEY))


def test_a_backup_is_restored_with_its_key(path, secret):
    copy = path.parent / "copy.db"
    with tissdb.open(path, **secret) as db:
        fill(db, 5)
        db.backup(copy)
    again = path.parent / "again.db"
    with pytest.raises(CorruptionError):
        restore(copy, again)
    assert not again.exists()
    restore(copy, again, secret=Secret(**secret))
    with tissdb.open(again, **secret) as db:
        assert len(db["notes"]) == 5


def test_an_sqlite_without_ciphers_says_how_to_get_one(path, monkeypatch):
    monkeypatch.delattr(apsw, "mc_version")
    with pytest.raises(DatabaseError, match="cannot encrypt") as caught:
        tissdb.open(path, key=KEY)
    assert "pip install apsw-sqlite3mc" in caught.value.hint
