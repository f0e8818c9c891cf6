"""What the server complains about is said in the words of every engine."""

from __future__ import annotations

import psycopg
import pytest

from quanta_tissu.errors import BusyError, CorruptionError, DatabaseError, InvalidDocumentError, StorageError


@pytest.fixture
def url(postgres_url):
    return postgres_url


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        ("55P03", BusyError, "another program has been writing"),
        ("40P01", BusyError, "another program has been writing"),
        ("40001", BusyError, "another program has been writing"),
        ("57014", BusyError, "took too long"),
        ("53300", BusyError, "no connection left"),
        ("53100", StorageError, "no room"),
        ("53200", StorageError, "no room"),
        ("42501", StorageError, "does not let us do this"),
        ("3F000", StorageError, "does not let us do this"),
        ("28000", StorageError, "does not let us in"),
        ("XX001", CorruptionError, "damaged"),
        ("XX002", CorruptionError, "damaged"),
        ("54000", InvalidDocumentError, "too large"),
        ("58P01", DatabaseError, "lacks what is needed"),
        ("08006", StorageError, "lost"),
    ],
)
def test_each_kind_of_error_has_its_class_and_the_servers_reason(db, state, error, says):
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'the reason' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(error, match=says) as caught:
        db.read_connection(lambda connection: connection.run(statement))
    assert isinstance(caught.value.__cause__, psycopg.Error)
    assert caught.value.hint


def test_what_says_nothing_about_the_user_stays_as_it_is(db):
    for read in ("rows", "row", "run"):
        with pytest.raises(psycopg.errors.SyntaxError):
            db.read_connection(lambda connection, read=read: getattr(connection, read)("SELEC"))


def test_a_slow_query_is_stopped_where_the_server_has_a_limit(db):
    def slow(connection):
        connection.rows("SET statement_timeout = 20")
        connection.rows("SELECT pg_sleep(10)")

    with pytest.raises(BusyError, match="took too long"):
        db.read_connection(slow)


def test_a_commit_that_the_server_refuses_has_not_happened(db):
    connection = db._backend.connect(write=True)
    connection.run("CREATE TABLE x (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    connection.begin_write()
    connection.run("INSERT INTO x VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.commit()
    assert not connection.in_transaction
    assert connection.rows("SELECT * FROM x") == []
    connection.close()
