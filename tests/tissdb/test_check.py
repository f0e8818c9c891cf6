"""A check finds what does not belong together."""

from __future__ import annotations

import apsw
import pytest

import quanta_tissu.tissdb as tissdb


def fill(db):
    db["a"].create_index("words", kind="text", fields="text")
    db["a"].create_index("near", kind="vector", dimension=2)
    db["a"].create_index("n", kind="unique")
    db["a"].insert_many({"_id": str(n), "text": f"w{n}", "n": n, "_vectors": {"near": [n, 1]}} for n in range(20))
    db["a"].patch("3", {"text": "other"})
    db["a"].replace("4", {"n": 104}, vectors={"near": [5, 5]})
    db["a"].delete("5")


def test_a_database_that_was_only_used_is_fine(db):
    fill(db)
    assert db.check() == []


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE d_1 SET doc = jsonb('{}') WHERE id = '7'", "document '7' is not what the log says"),
        ("UPDATE d_1 SET id = 'x' WHERE id = '7'", "document 'x' has a revision that is not its own"),
        ("UPDATE d_1 SET rev = 999 WHERE id = '7'", "document '7' has a revision that is not its own"),
        ("DELETE FROM d_1 WHERE id = '7'", "index 'words' knows documents that are gone"),
        ("DELETE FROM d_1 WHERE id = '7'", "index 'near' knows documents that are gone"),
        ("DELETE FROM t_1 WHERE rowid = 8", "index 'words' misses documents: rows 8"),
        ("UPDATE _head SET seq = 5", "log: "),
    ],
)
def test_what_was_changed_behind_its_back_is_found(path, statement, says):
    with tissdb.open(path) as db:
        fill(db)
    connection = apsw.Connection(str(path))
    connection.execute(statement).fetchall()
    connection.close()
    with tissdb.open(path) as db:
        assert any(says in problem for problem in db.check()), db.check()


def test_flipped_bits_in_the_file_are_found(path):
    with tissdb.open(path) as db:
        fill(db)
        db._backend._checkpointer = None
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    data = bytearray(path.read_bytes())
    at = data.index(b"w17")
    data[at] ^= 0x10
    path.write_bytes(data)
    with tissdb.open(path) as db:
        assert db.check()
