"""`tissu db stats`, `verify`, `backup`, `restore`, `compact`, and `audit`, `watch`."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest

import quanta_tissu.tissdb as tissdb


def tamper(path: str, sql: str) -> None:
    connection = apsw.Connection(path)
    connection.execute("DROP TRIGGER IF EXISTS _log_no_update")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(sql)
    connection.close()


def test_stats_count_what_is_there(tissu, notes):
    figures = json.loads(tissu("db", "stats", notes, "--json").out)
    assert figures["collections"] == {"notes": {"documents": 3, "indexes": {"words": "text"}, "tuned": {}}}
    assert figures["log"]["entries"] == 5
    assert figures["bytes"] > 4096
    out = tissu("db", "stats", notes).out
    assert "words (text)" in out
    assert "format 2" in out


def test_stats_of_an_empty_database(tissu, tmp_path):
    path = str(tmp_path / "new.db")
    tissu("db", "create", path)
    assert "no collections yet" in tissu("db", "stats", path).out


def test_verify_finds_what_is_wrong(tissu, notes):
    assert tissu("db", "verify", notes).out.endswith("everything is in its place\n")
    with tissdb.open(notes) as db:
        number = db._fresh_catalog().collections["notes"].number
    tamper(notes, f"""UPDATE d_{number} SET doc = jsonb('{{"title":"forged"}}') WHERE id = 'first'""")
    outcome = tissu("db", "verify", notes)
    assert outcome.code == 1
    assert "document 'first' is not what the log says was written" in outcome.out
    report = json.loads(tissu("db", "verify", notes, "--json").out)
    assert not report["ok"]
    assert len(report["problems"]) >= 1


def test_what_is_no_database_is_said(tissu, tmp_path):
    path = tmp_path / "text.db"
    path.write_text("not a database" * 500)
    outcome = tissu("db", "verify", str(path))
    assert outcome.code == 1
    assert "no database" in outcome.err


def test_a_backup_is_restored(tissu, notes, tmp_path):
    copy, other = str(tmp_path / "copy.db"), str(tmp_path / "other.db")
    assert "checked" in tissu("db", "backup", notes, copy).out
    assert "is there already" in tissu("db", "backup", notes, copy).err
    assert tissu("db", "restore", copy, other).code == 0
    assert "is there already" in tissu("db", "restore", copy, other).err
    assert "there is no backup" in tissu("db", "restore", str(tmp_path / "none"), other).err
    with tissdb.open(other) as db:
        assert len(db["notes"]) == 3


def test_compact_gives_space_back(tissu, notes):
    with tissdb.open(notes) as db:
        db["big"].insert_many({"text": "x" * 4000} for _ in range(500))
        db.drop_collection("big")
    before = Path(notes).stat().st_size
    assert "0 expired documents removed" in tissu("db", "compact", notes).out
    assert Path(notes).stat().st_size < before / 2


def test_the_log_says_who_did_what(tissu, notes, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    tissu("db", "delete", notes, "notes", "first")
    with tissdb.open(notes, actor="bob") as db:
        db.log_refusal("insert", collection="notes", why="may only read")
    out = tissu("db", "audit", "log", notes, "--since", "5").out
    assert "ada  delete  notes/first" in out
    assert 'bob  REFUSED insert  notes  {"why": "may only read"}' in out
    entries = [json.loads(line) for line in tissu("db", "audit", "log", notes, "--json").out.splitlines()]
    assert [entry["seq"] for entry in entries] == list(range(1, 8))
    assert entries[2]["digest"] is not None
    [refused] = tissu("db", "audit", "log", notes, "--refused", "--collection", "notes").out.splitlines()
    assert "may only read" in refused


def test_audit_verify_finds_a_forged_entry(tissu, notes):
    assert "the chain of 5 entries holds; not compared" in tissu("db", "audit", "verify", notes).out
    tamper(notes, "UPDATE _log SET actor = 'nobody' WHERE seq = 3")
    outcome = tissu("db", "audit", "verify", notes)
    assert outcome.code == 1
    assert "entry 3 was altered" in outcome.out
    report = json.loads(tissu("db", "audit", "verify", notes, "--json").out)
    assert (report["ok"], report["seq"]) == (False, 3)


def test_anchors_find_a_log_that_was_cut(tissu, notes, tmp_path):
    anchors = str(tmp_path / "anchors")
    earlier = str(tmp_path / "earlier.db")
    tissu("db", "backup", notes, earlier)
    tissu("db", "put", notes, "notes", "{}")
    assert "noted entry 6" in tissu("db", "audit", "anchor", notes, anchors).out
    assert "1 anchors are in it" in tissu("db", "audit", "verify", notes, "--anchors", anchors).out
    outcome = tissu("db", "audit", "verify", earlier, "--anchors", anchors)
    assert outcome.code == 1
    assert "its end was cut off" in outcome.out
    assert "none cannot be read" in tissu("db", "audit", "verify", notes, "--anchors", "none").err


def test_watch_shows_changes_since_a_number(tissu, notes):
    out = tissu("db", "watch", notes, "--since", "4", "--timeout", "0").out
    assert "insert  notes/third" in out
    [entry] = map(
        json.loads,
        tissu("db", "watch", notes, "notes", "--since", "4", "--timeout", "0", "--json").out.splitlines(),
    )
    assert entry["id"] == "third"
    assert tissu("db", "watch", notes, "--timeout", "0").out == ""


@pytest.mark.parametrize("command", ["stats", "verify", "compact", "watch", "audit verify", "shell"])
def test_a_database_that_is_not_there_is_not_made(tissu, tmp_path, command):
    path = tmp_path / "gone.db"
    outcome = tissu("db", *command.split(), str(path))
    assert outcome.code == 1
    assert "there is no database" in outcome.err
    assert not path.exists()


class TestAnchorsInAFileOfSomethingElse:
    def test_nothing_is_added_to_the_database_itself(self, tissu, notes):
        before = Path(notes).read_bytes()
        outcome = tissu("db", "audit", "anchor", notes, notes)
        assert outcome.code == 1
        assert "is no file of anchors" in outcome.err
        assert Path(notes).read_bytes() == before

    def test_nor_to_a_letter(self, tissu, notes, tmp_path):
        (tmp_path / "letter").write_text("Dear all\n")
        assert tissu("db", "audit", "anchor", notes, str(tmp_path / "letter")).code == 1
        assert (tmp_path / "letter").read_text() == "Dear all\n"

    def test_one_that_is_not_there_is_named(self, tissu, notes, tmp_path):
        outcome = tissu("db", "audit", "verify", notes, "--anchors", str(tmp_path / "none"))
        assert outcome.code == 1
        assert "none cannot be read: No such file or directory\n  help: " in outcome.err


def test_whoever_watches_what_is_not_there_is_told(tissu, notes):
    outcome = tissu("db", "watch", notes, "note", "--timeout", "0")
    assert outcome.code == 0
    assert outcome.err == "there is no collection 'note' yet (there are: notes); waiting for it\n"
    assert tissu("db", "watch", notes, "--timeout", "nan").code == 2
