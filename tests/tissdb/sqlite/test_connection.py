"""Many rows go into a table with few statements, and a row that is refused is known."""

from __future__ import annotations

import apsw
import pytest

import quanta_tissu.tissdb as tissdb


@pytest.fixture
def connection(path):
    """A connection in a transaction, with a table `x`."""
    with tissdb.open(path) as db:
        opened = db._backend.connect(write=True)
        opened.run("CREATE TABLE x (n INTEGER PRIMARY KEY, text TEXT) STRICT")
        opened.begin_write()
        yield opened
        opened.rollback()
        opened.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 31, 500, 512, 513, 1300])
def test_all_rows_are_inserted_once_and_in_order(connection, count):
    rows = [(n, None if n % 3 else f"text {n}") for n in range(count)]
    connection.insert("x (n, text)", "(?, ?)", rows)
    assert connection.rows("SELECT n, text FROM x ORDER BY n") == rows


@pytest.mark.parametrize("failing", [0, 1, 7, 511, 512, 1000, 1299])
def test_the_row_that_was_refused_is_known_and_those_before_it_are_there(connection, failing):
    connection.run("INSERT INTO x VALUES (-1, 'there')")
    rows = [(n, "") for n in range(1300)]
    rows[failing] = (-1, "again")
    with pytest.raises(apsw.ConstraintError, match=r"x\.n"):
        connection.insert("x (n, text)", "(?, ?)", rows)
    assert connection.failed_row == failing
    assert connection.rows("SELECT n FROM x WHERE n >= 0 ORDER BY n") == [(n,) for n in range(failing)]
    assert connection.in_transaction


def test_rows_that_are_there_may_be_replaced(connection):
    connection.insert("x (n, text)", "(?, ?)", [(n, "old") for n in range(5)])
    again = "ON CONFLICT (n) DO UPDATE SET text = excluded.text"
    connection.insert("x (n, text)", "(?, ?)", [(n, "new") for n in range(3, 8)], again)
    texts = [text for (text,) in connection.rows("SELECT text FROM x ORDER BY n")]
    assert texts == ["old"] * 3 + ["new"] * 5


def test_words_of_many_batches_are_joined(path):
    """FTS5's own figures let one of a hundred commits join all that the others left."""
    with tissdb.open(path) as db:
        db["a"].create_index("text", kind="text")
        for number in range(100):
            db["a"].insert_many({"text": f"alpha beta{number}"} for _ in range(30))
        with db._reading() as connection:
            settings = dict(connection.rows("SELECT k, v FROM t_1_config WHERE k LIKE '%merge'"))
            [(parts,)] = connection.rows("SELECT count(DISTINCT segid) FROM t_1_idx")
        assert settings == {"automerge": 16, "crisismerge": 64}
        assert parts <= 64
        assert len(db["a"].search("beta7", k=1000)) == 30


def test_large_texts_do_not_stay_in_memory(connection):
    """SQLite copies what it is given, and a prepared statement could keep it."""
    connection.insert("x (n, text)", "(?, ?)", [(n, "x" * 2**20) for n in range(16)])
    used = apsw.memory_used()
    connection.rows("SELECT 1")
    assert used < 80 * 2**20  # the page cache has 64 MiB
