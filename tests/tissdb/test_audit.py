"""Every way to change the log is found: by its own chain, or by a head that was noted elsewhere."""

from __future__ import annotations

import apsw
import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.log import COLUMNS, EMPTY, entry_hash


@pytest.fixture
def anchors(tmp_path):
    return tmp_path / "anchors.jsonl"


@pytest.fixture
def logged(path, anchors):
    """A database with some entries, the head noted after the sixth."""
    with tissdb.open(path) as db:
        for n in range(5):
            db["a"].insert({"n": n}, id=str(n))
        db.anchor(anchors)
        for n in range(5):
            db["a"].delete(str(n))
    return path


def tamper(path, *statements):
    """Change the file as somebody who can write it, and is not stopped by triggers, would."""
    connection = apsw.Connection(str(path))
    connection.execute("DROP TRIGGER _log_update; DROP TRIGGER _log_delete").fetchall()
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


def verified(path, anchors=None):
    with tissdb.open(path) as db:
        return db.verify_log(anchors)


def rewrite(path, keep):
    """Compute a whole new chain of the entries to keep, head and all."""
    connection = apsw.Connection(str(path))
    rows = [row for row in connection.execute(f"SELECT {COLUMNS} FROM _log ORDER BY seq").fetchall() if keep(row)]
    connection.execute("DELETE FROM _log").fetchall()
    before = EMPTY
    for seq, row in enumerate(rows, 1):
        _, time, actor, action, ok, collection, id, digest, detail, _ = row
        before = entry_hash(before, seq, time, actor, action, bool(ok), collection, id, digest, detail)
        connection.execute(
            f"INSERT INTO _log ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)",
            (seq, time, actor, action, ok, collection, id, digest, detail, before),
        ).fetchall()
    connection.execute("UPDATE _head SET seq = ?, hash = ?", (len(rows), before)).fetchall()
    connection.close()


def test_a_log_that_nobody_touched_is_fine(logged, anchors):
    report = verified(logged, anchors)
    assert report.ok
    assert report.entries == report.head.seq == 11
    assert report.anchors == 1


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE _log SET actor = 'eve' WHERE seq = 4", 4),
        ("UPDATE _log SET time = time + 1 WHERE seq = 4", 4),
        ("UPDATE _log SET id = '9' WHERE seq = 4", 4),
        ("UPDATE _log SET ok = 0 WHERE seq = 4", 4),
        ("UPDATE _log SET digest = zeroblob(32) WHERE seq = 4", 4),
        ("UPDATE _log SET detail = '{}' WHERE seq = 4", 4),
        ("UPDATE _log SET hash = zeroblob(32) WHERE seq = 4", 4),
        ("DELETE FROM _log WHERE seq = 4", 4),
        ("UPDATE _log SET seq = -seq WHERE seq IN (4, 5); UPDATE _log SET seq = 9 + seq WHERE seq < 0", 4),
        ("DELETE FROM _log WHERE seq > 8", 8),
        ("DELETE FROM _log", 0),
        (
            f"INSERT INTO _log ({COLUMNS}) "
            "SELECT 12, time, actor, action, ok, collection, id, digest, detail, hash FROM _log WHERE seq = 11",
            12,
        ),
        ("UPDATE _head SET hash = zeroblob(32)", 11),
    ],
)
def test_the_chain_shows_what_was_altered_removed_moved_or_added(logged, statement, seq):
    tamper(logged, statement)
    report = verified(logged)
    assert not report.ok
    assert report.seq == seq


def test_only_an_anchor_shows_an_end_that_was_cut_with_its_head(logged, anchors):
    tamper(
        logged,
        "DELETE FROM _log WHERE seq > 4",
        "UPDATE _head SET (seq, hash) = (SELECT seq, hash FROM _log WHERE seq = 4)",
    )
    assert verified(logged).ok
    report = verified(logged, anchors)
    assert not report.ok
    assert "entry 6 was noted" in report.problem


def test_only_an_anchor_shows_a_log_that_was_rewritten(logged, anchors):
    tamper(logged)
    rewrite(logged, keep=lambda row: row[6] != "2")
    assert verified(logged).ok
    report = verified(logged, anchors)
    assert not report.ok
    assert report.seq == 6
    assert "rewritten" in report.problem


def test_an_anchor_shows_a_fork(logged, anchors, tmp_path):
    fork = tmp_path / "fork.db"
    with tissdb.open(logged) as db:
        db.backup(fork)
        db["a"].insert({"n": "one way"})
        db.anchor(anchors)
    with tissdb.open(fork) as db:
        db["a"].insert({"n": "the other way"})
        assert db.verify_log().ok
        assert not db.verify_log(anchors).ok


def test_refused_actions_are_in_it(db):
    db.as_actor("eve").log_refusal("delete", collection="a", id="x", why="reader")
    [entry] = db.log()
    assert (entry.actor, entry.action, entry.ok, entry.detail) == ("eve", "delete", False, '{"why": "reader"}')
    assert db.verify_log().ok


def test_files_of_anchors_are_checked(db, tmp_path):
    with pytest.raises(DatabaseError, match="cannot be read"):
        db.verify_log(tmp_path / "none")
    bad = tmp_path / "bad"
    bad.write_text("{}\n")
    with pytest.raises(DatabaseError, match="line 1"):
        db.verify_log(bad)
    with tissdb.open(":memory:") as other:
        other.anchor(tmp_path / "other")
    with pytest.raises(DatabaseError, match="no anchor of this database"):
        db.verify_log(tmp_path / "other")
    with pytest.raises(DatabaseError, match="cannot be noted"):
        db.anchor(tmp_path / "no" / "folder")


def test_a_file_that_is_something_else_gets_no_anchor(db, tmp_path):
    (tmp_path / "letter").write_text("Dear all\n")
    with pytest.raises(DatabaseError, match="letter is no file of anchors"):
        db.anchor(tmp_path / "letter")
    assert (tmp_path / "letter").read_text() == "Dear all\n"
