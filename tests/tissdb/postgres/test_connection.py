"""What only a server can do to a database: go away, be locked by others, refuse, order text by its own rules."""

from __future__ import annotations

import importlib.util
import multiprocessing
import threading
from urllib.parse import urlsplit

import psycopg
import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import (
    BusyError,
    CorruptionError,
    DatabaseError,
    MissingDependencyError,
    StorageError,
    UnknownOutcomeError,
)
from quanta_tissu.tissdb.postgres import vectors
from quanta_tissu.tissdb.postgres.backend import split_url, without_password
from quanta_tissu.tissdb.postgres.connection import translate


@pytest.fixture
def url(postgres_url):
    return postgres_url


@pytest.fixture
def server(postgres_server, postgres_url):
    """Somebody else at the same server, in the same schema."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"SET search_path TO {split_url(postgres_url)[1]}")
        yield connection


def as_user(url, user):
    parts = urlsplit(url)
    return parts._replace(netloc=user + "@" + parts.netloc.rpartition("@")[2]).geturl()


def end(server, connection):
    """End a connection as an administrator would, and wait until it is gone."""
    pid = connection.raw.info.backend_pid
    assert server.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,)).fetchone() == (True,)


class TestStatements:
    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            ("SELECT ? WHERE a = ?", b"SELECT %s WHERE a = %s"),
            ("SELECT '?' || \"a?\" || ?", b"SELECT '?' || \"a?\" || %s"),
            ("SELECT 'it''s ?' LIKE '50%' AND 5 % ? = 0", b"SELECT 'it''s ?' LIKE '50%%' AND 5 %% %s = 0"),
        ],
    )
    def test_parameters_are_marked_as_the_driver_wants_it(self, ours, theirs):
        assert translate(ours) == theirs

    def test_what_is_quoted_is_left_alone(self, db):
        sql = "SELECT '50%', 'is it?', 7 % 4, ?"
        assert db.read_connection(lambda connection: connection.rows(sql, ("x",))) == [("50%", "is it?", 3, "x")]


class TestAddresses:
    def test_the_schema_is_ours_and_the_rest_the_drivers(self):
        assert split_url("postgresql://h/d?schema=a_1&sslmode=require") == (
            "postgresql://h/d?sslmode=require",
            "a_1",
        )
        assert split_url("postgresql://a:b@h:1,i:2/d") == ("postgresql://a:b@h:1,i:2/d", "tissdb")

    @pytest.mark.parametrize("schema", ["", "A", "1a", "pg_x", "information_schema", 'a"b', "a" * 64, "a b"])
    def test_names_that_are_no_schema_of_ours_are_refused(self, schema):
        with pytest.raises(DatabaseError, match="no name for a schema"):
            split_url(f"postgresql://h/d?schema={schema}")

    def test_no_password_is_shown(self):
        shown = without_password("postgresql://ada:secret@h/d?password=secret&schema=x&host=/run/a")
        assert shown == "postgresql://ada@h/d?schema=x&host=/run/a"

    def test_a_server_that_is_not_there(self):
        with pytest.raises(StorageError, match="cannot be reached"):
            tissdb.open("postgresql://postgres@/postgres?host=/nonexistent")
        with pytest.raises(StorageError, match="cannot be reached"):
            tissdb.open("postgresql://h/d?no_such_option=1")

    def test_a_database_that_is_not_there(self, url):
        with pytest.raises(StorageError, match='"nothing" does not exist'):
            tissdb.open(urlsplit(url)._replace(path="/nothing").geturl())

    def test_without_the_driver_it_says_what_to_install(self, url, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(MissingDependencyError, match="psycopg") as caught:
            tissdb.open(url)
        assert "pip install 'quanta-tissu[postgres]'" in caught.value.hint


class TestOpening:
    def test_what_was_written_is_there_when_it_is_opened_again(self, url):
        with tissdb.open(url) as db:
            db["a"].create_index("n")
            written = db["a"].insert({"n": 1})
            uuid = db.uuid
        with tissdb.open(url) as db:
            assert db["a"][written.id]["n"] == 1
            assert list(db["a"].indexes) == ["n"]
            assert db["a"].insert({}).revision == written.revision + 1
            assert db.uuid == uuid
            assert db.url == without_password(url)

    def test_a_schema_of_somebody_else(self, url, server):
        schema = split_url(url)[1]
        server.execute(f"CREATE SCHEMA {schema}")
        server.execute(f"CREATE TABLE {schema}.theirs (a int)")
        with pytest.raises(CorruptionError, match="not one of TissDB"):
            tissdb.open(url)

    def test_a_later_format_is_refused(self, url, server):
        tissdb.open(url).close()
        server.execute("UPDATE _settings SET value = '99' WHERE name = 'format'")
        with pytest.raises(DatabaseError, match="format 99"):
            tissdb.open(url)

    def test_who_may_not_write_is_told(self, url, server):
        tissdb.open(url).close()
        server.execute("DROP ROLE IF EXISTS reader")
        server.execute("CREATE ROLE reader LOGIN")
        try:
            with pytest.raises(StorageError, match="does not let us"):
                tissdb.open(as_user(url, "reader"))
        finally:
            server.execute("DROP ROLE reader")

    def test_a_server_that_is_too_old(self, url, monkeypatch):
        monkeypatch.setattr("quanta_tissu.tissdb.postgres.backend.OLDEST", 99)
        with pytest.raises(DatabaseError, match="the server is PostgreSQL"):
            tissdb.open(url)


class TestWriters:
    def test_two_databases_at_one_schema_see_each_other(self, url):
        with tissdb.open(url) as one, tissdb.open(url) as two:
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

    def test_a_writer_elsewhere_is_waited_for_and_then_named(self, url):
        with tissdb.open(url, busy_timeout=0.05) as db, tissdb.open(url) as other:
            db["a"].insert({})
            with other.transaction() as tx:
                tx["a"].insert({})
                with pytest.raises(BusyError, match="another program"):
                    db["a"].insert({})
                assert len(db["a"]) == 1  # readers do not wait
            db["a"].insert({})
            assert len(db["a"]) == 3

    def test_several_processes_write_without_losing_anything(self, url):
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=insert_some, args=(url, name)) for name in "pqr"]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        with tissdb.open(url) as db:
            assert len(db["a"]) == 60
            assert db.check() == []

    def test_several_open_a_new_one_at_once(self, url):
        barrier, errors = threading.Barrier(4), []

        def open_and_write():
            barrier.wait()
            try:
                with tissdb.open(url) as db:
                    db["a"].insert({})
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=open_and_write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        with tissdb.open(url) as db:
            assert len(db["a"]) == 4


def insert_some(url, name):
    with tissdb.open(url) as db:
        for n in range(20):
            db["a"].insert({"who": name, "n": n})


class TestLostConnections:
    @pytest.fixture
    def db(self, db):
        db["a"].insert({"n": 0}, id="before")
        return db

    def test_one_that_was_lost_while_nobody_used_it_is_replaced(self, db, server):
        end(server, db._writer._connection)
        for connection in db._idle:
            end(server, connection)
        assert db["a"]["before"]["n"] == 0
        db["a"].insert({}, id="after")
        with db.view() as view:
            assert len(view["a"]) == 2

    def test_in_a_transaction_nothing_was_written(self, db, server):
        with pytest.raises(StorageError, match="lost"), db.transaction() as tx:
            tx["a"].insert({}, id="x")
            end(server, db._writer._connection)
            tx["a"].insert({}, id="y")
        db["a"].insert({}, id="z")
        assert sorted(document.id for document in db["a"]) == ["before", "z"]

    def test_at_the_commit_nobody_knows_and_the_key_decides(self, db, server):
        connection = db._writer._connection
        commit = connection.commit

        def ended_before():
            end(server, connection)
            commit()

        connection.commit = ended_before
        with pytest.raises(UnknownOutcomeError):
            db["a"].insert({}, id="x", key="k")
        assert db["a"].insert({}, id="x", key="k").id == "x"
        assert len(db["a"]) == 2
        assert db.check() == []

    def test_the_answer_to_a_commit_is_lost_and_the_key_decides(self, db, server):
        connection = db._writer._connection
        execute = connection.raw.execute

        def committed_but_unheard(query, *arguments, **named):
            result = execute(query, *arguments, **named)
            if query == b"COMMIT":
                end(server, connection)
                connection.raw.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return result

        connection.raw.execute = committed_but_unheard
        with pytest.raises(UnknownOutcomeError):
            db["a"].insert({}, id="x", key="k")
        assert db["a"].insert({}, id="x", key="k").id == "x"
        assert len(db["a"]) == 2

    def test_a_view_that_was_lost_says_so(self, db, server):
        with pytest.raises(StorageError, match="lost"), db.view() as view:
            end(server, view._connection)
            view["a"].get("before")
        assert len(db["a"]) == 1


class TestFailedStatements:
    """In PostgreSQL a statement that fails spoils its transaction, up to a savepoint."""

    def test_a_read_that_fails_leaves_the_transaction_as_it_was(self, db):
        with db.transaction() as tx:
            tx["a"].insert({}, id="x")
            with pytest.raises(psycopg.errors.DivisionByZero):
                tx.read(lambda connection, catalog: connection.rows("SELECT 1 / 0"))
            tx["a"].insert({}, id="y")
        assert len(db["a"]) == 2

    def test_and_the_view(self, db):
        db["a"].insert({}, id="x")
        with db.view() as view:
            with pytest.raises(psycopg.errors.DivisionByZero):
                view.read(lambda connection, catalog: connection.rows("SELECT 1 / 0"))
            assert "x" in view["a"]

    def test_an_error_that_is_swallowed_does_not_pass_for_success(self, db):
        def work(changes):
            changes.collection("a", create=True)
            try:
                changes.connection.rows("SELECT 1 / 0")
            except psycopg.errors.DivisionByZero:
                return "fine"

        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            db.write(work)
        assert db.collections() == []

    def test_commit_sees_that_the_server_has_rolled_back(self, db):
        connection = db._backend.connect(write=True)
        connection.begin_write()
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.rows("SELECT 1 / 0")
        with pytest.raises(StorageError, match="nothing of it was kept"):
            connection.commit()
        connection.close()

    def test_the_row_that_failed_among_many_is_known(self, db):
        db["a"].insert({"n": 0})
        connection = db._backend.connect(write=True)
        connection.run("CREATE TABLE x (n bigint PRIMARY KEY)")
        for failing in (0, 7, 999, 1000, 2345):
            connection.begin_write()
            rows = [(n,) for n in range(2500)]
            rows[failing] = (-1,)
            connection.run("INSERT INTO x VALUES (-1)")
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.insert("x (n)", "(?)", rows)
            assert connection.failed_row == failing
            connection.rollback()
        connection.close()


def test_the_server_lets_nobody_change_the_log(db, server):
    db["a"].insert({})
    for statement in ("UPDATE _log SET actor = 'x'", "DELETE FROM _log", "TRUNCATE _log"):
        with pytest.raises(psycopg.errors.RaiseException, match="it only grows"):
            server.execute(statement)


def test_reading_connections_cannot_write(db):
    with pytest.raises(StorageError, match="read-only"):
        db.read_connection(lambda connection: connection.run("DELETE FROM _requests"))


def test_text_is_in_order_of_code_points_whatever_the_servers_language(db, server):
    columns = server.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() "
        "AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
    ).fetchall()
    assert columns == []


def test_size_and_compaction(db):
    db["a"].insert_many({"text": f"{n}" * 200} for n in range(1000))
    db["b"].insert({"n": 1}, id="x")
    for document in db["a"]:
        db["a"].delete(document.id)
    before = db.size()
    db.compact()
    assert db.size() < before - 200_000
    assert db["b"]["x"]["n"] == 1
    assert db.check() == []


def test_a_broken_index_of_the_server_is_found(db, server):
    db["a"].create_index("n")
    server.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i_1'::regclass")
    assert db.check() == ["the server's index i_1 is broken"]


def test_backups_are_the_servers_business(db, tmp_path):
    with pytest.raises(DatabaseError, match="backed up"):
        db.backup(tmp_path / "x.db")


@pytest.fixture
def bare(postgres_url, server):
    """A database of the server in which nobody has used vectors yet."""
    name = split_url(postgres_url)[1]
    server.execute(f"CREATE DATABASE {name}")
    with tissdb.open(urlsplit(postgres_url)._replace(path=f"/{name}").geturl()) as opened:
        yield opened
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_vector_extension_is_made_where_all_schemas_can_use_it(bare):
    bare["a"].create_index("near", kind="vector", dimension=2)
    found = bare.read_connection(lambda connection: connection.rows(vectors._FIND))
    assert [schema for schema, _ in found] == ["public"]


def test_a_server_without_the_extension_says_what_to_install(bare, monkeypatch):
    monkeypatch.setattr(vectors, "_AVAILABLE", "SELECT 1 WHERE false")
    with pytest.raises(DatabaseError, match="no pgvector") as caught:
        bare["a"].create_index("near", kind="vector", dimension=2)
    assert "install pgvector" in caught.value.hint
    bare["a"].insert({})


def test_a_vector_extension_that_is_too_old_is_refused(db, monkeypatch):
    monkeypatch.setattr(vectors, "OLDEST", (99, 0))
    with pytest.raises(DatabaseError, match="pgvector"):
        db["a"].create_index("near", kind="vector", dimension=2)
