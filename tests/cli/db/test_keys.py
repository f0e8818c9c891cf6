"""Encrypted databases from the command line: the key comes from a file or the environment."""

from __future__ import annotations

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.server.databases import Databases
from quanta_tissu.tissdb.sqlite.protection import Secret

KEY = bytes(range(32))


@pytest.fixture
def key(tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY.hex() + "\n")
    return str(file)


@pytest.fixture
def database(tmp_path, tissu, key):
    path = str(tmp_path / "secret.db")
    tissu("db", "--key-file", key, "create", path)
    tissu("db", "--key-file", key, "put", path, "notes", '{"title": "hidden"}', "--id", "x")
    return path


def test_with_the_key_everything_is_as_always(tissu, database, key, tmp_path):
    assert "hidden" in tissu("db", "--key-file", key, "get", database, "notes", "x").out
    copy = str(tmp_path / "copy.db")
    tissu("db", "--key-file", key, "backup", database, copy)
    tissu("db", "--key-file", key, "restore", copy, str(tmp_path / "again.db"))
    with tissdb.open(tmp_path / "again.db", key=KEY) as db:
        assert db["notes"]["x"]["title"] == "hidden"


def test_a_key_for_a_server_is_refused(tissu, database, key, monkeypatch):
    server = "postgresql://nobody@127.0.0.1:1/none"
    for words in (("stats", server), ("serve", server), ("copy", server, server)):
        outcome = tissu("db", "--key-file", key, *words)
        assert outcome.code == 2
        assert f"--key-file {key} encrypts files, and postgresql:// is a server" in outcome.err
    # The key is the other database's, and the environment's is meant for files.
    assert "encrypts files" not in tissu("db", "--key-file", key, "copy", database, server).err
    monkeypatch.setenv("TISSDB_KEY_FILE", key)
    assert "encrypts files" not in tissu("db", "stats", server).err


def test_decrypting_needs_the_key(tissu, notes):
    outcome = tissu("db", "rekey", notes, "--decrypt")
    assert outcome.code == 2
    assert "needs its key" in outcome.err


def test_without_it_nothing_is_shown(tissu, database):
    result = tissu("db", "get", database, "notes", "x")
    assert result.code == 1
    assert "not its key" in result.err


def test_the_key_may_be_named_by_the_environment(tissu, database, key, monkeypatch):
    monkeypatch.setenv("TISSDB_KEY_FILE", key)
    assert "hidden" in tissu("db", "get", database, "notes", "x").out
    monkeypatch.setenv("TISSDB_PASSPHRASE", "correct horse")
    assert "unset one" in tissu("db", "get", database, "notes", "x").err


def test_a_passphrase_comes_from_the_environment(tissu, tmp_path, monkeypatch):
    path = str(tmp_path / "phrase.db")
    monkeypatch.setenv("TISSDB_PASSPHRASE", "correct horse")
    tissu("db", "create", path)
    with tissdb.open(path, passphrase="correct horse") as db:
        assert db.collections() == []


@pytest.mark.parametrize(("text", "says"), [("secret\n", "holds no key"), (None, "cannot be read")])
def test_what_is_no_key_file(tissu, database, tmp_path, text, says):
    file = tmp_path / "other"
    if text is not None:
        file.write_text(text)
    assert says in tissu("db", "--key-file", str(file), "get", database, "notes", "x").err


def test_a_key_is_given_changed_and_taken_away(tissu, database, key, tmp_path):
    other = tmp_path / "other"
    other.write_text(KEY[::-1].hex())
    changed = tissu("db", "--key-file", key, "rekey", database, "--new-key-file", str(other))
    assert "with the new key" in changed.out
    assert "hidden" in tissu("db", "--key-file", str(other), "get", database, "notes", "x").out
    assert "not encrypted" in tissu("db", "--key-file", str(other), "rekey", database, "--decrypt").out
    assert "hidden" in tissu("db", "get", database, "notes", "x").out
    assert "one of" in tissu("db", "rekey", database).err


def test_a_server_opens_and_makes_encrypted_files(tmp_path):
    databases = Databases(str(tmp_path), Secret(key=KEY))
    databases.create("made")["a"].insert({})
    databases.close()
    databases = Databases(str(tmp_path), Secret(key=KEY))
    assert len(databases.get("made")["a"]) == 1
    databases.close()
    assert not (tmp_path / "made.db").read_bytes().startswith(b"SQLite format 3")
