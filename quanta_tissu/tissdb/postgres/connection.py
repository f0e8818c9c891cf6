"""A connection to PostgreSQL, set up by one recipe that is read back."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from quanta_tissu.errors import BusyError, DatabaseError, StorageError, UnknownOutcomeError
from quanta_tissu.tissdb.backend import Row
from quanta_tissu.tissdb.postgres.dialect import POSTGRES
from quanta_tissu.tissdb.postgres.errors import is_lost, translated, unreachable
from quanta_tissu.tissdb.postgres.vectors import register_vectors

_QUOTED_OR_MARK = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\?|%""")


@lru_cache(maxsize=2000)
def translate(sql: str) -> bytes:
    """A statement with `?` for parameters as psycopg takes it: `%s` for parameters, `%%` for a percent sign."""

    def marked(match: re.Match[str]) -> str:
        return "%s" if match[0] == "?" else match[0].replace("%", "%%")

    return _QUOTED_OR_MARK.sub(marked, sql).encode()


class PostgresConnection:
    """As `Connection`.

    Writers take turns by an advisory lock that ends with the transaction. A lock on the one row of `_head` would
    do as well, but for three things: the row is not there while the tables are made, each writer would leave a
    dead version of it for nothing, and programs of the user that read `_head ... FOR UPDATE` could stop us.
    Transactions run at READ COMMITTED: with nobody else writing, every statement sees the same state anyway, and
    that state is the one that the writer before has left. A stricter level would take its view of the database
    before the lock was granted, and would then fail wherever the writer before had been.

    Args:
        conninfo: Where to connect, as libpq has it.
        schema: The schema of the tables.
        lock: The number of the writers' lock.
        write: For the one writer of this process; others cannot write.
        busy_timeout: Seconds to wait for another process's writer.
    """

    dialect = POSTGRES

    def __init__(self, conninfo: str, *, schema: str, lock: int, write: bool, busy_timeout: float) -> None:
        self._lock = lock
        self._until: float | None = None
        self.failed_row = 0
        try:
            self._connection = psycopg.connect(conninfo, autocommit=True, application_name="tissdb")
        except psycopg.Error as error:
            raise unreachable(error) from error
        try:
            self._set_up(schema, write, busy_timeout)
        except BaseException:
            self._connection.close()
            raise
        register_vectors(self._connection)

    def _set_up(self, schema: str, write: bool, busy_timeout: float) -> None:
        recipe = {
            "client_encoding": "UTF8",
            "search_path": f'"{schema}"',
            "standard_conforming_strings": "on",
            "default_transaction_isolation": "read committed",
            "default_transaction_read_only": "off" if write else "on",
            "lock_timeout": f"{max(1, round(busy_timeout * 1000))}ms",
            # A server may be set to acknowledge before the disk has it.
            "synchronous_commit": "on",
            # It compiles what it thinks is expensive, for longer than our queries run.
            "jit": "off",
            # The writer's lock of a machine that has vanished is free again after a minute.
            "tcp_keepalives_idle": "30",
            "tcp_keepalives_interval": "10",
            "tcp_keepalives_count": "3",
        }
        marks = ", ".join(["set_config(?, ?, false)"] * len(recipe))
        taken = self.rows(f"SELECT {marks}", [part for pair in recipe.items() for part in pair])[0]
        for (name, value), found in zip(recipe.items(), taken, strict=True):
            if name not in _MAY_DIFFER and found != value:
                raise DatabaseError(f"PostgreSQL did not take {name} = {value}: it stays {found}")

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """As `Connection`."""
        self._in_time()
        try:
            cursor = self._connection.execute(translate(sql), parameters, binary=True)
            return cursor.fetchall() if cursor.description is not None else []
        except psycopg.Error as error:
            raise translated(error) from error

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """As `Connection`."""
        self._in_time()
        try:
            return self._connection.execute(translate(sql), parameters, binary=True).fetchone()
        except psycopg.Error as error:
            raise translated(error) from error

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """As `Connection`."""
        try:
            return self._connection.execute(translate(sql), parameters, binary=True).rowcount
        except psycopg.Error as error:
            raise translated(error) from error

    def run_many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        """As `Connection`: many statements are under way at a time, so the server's distance counts once."""
        cursor = self._connection.cursor()
        try:
            cursor.executemany(translate(sql), parameters)
        except psycopg.Error as error:
            # Results come in order, and of those that succeeded each has written a row, if they insert.
            self.failed_row = max(cursor.rowcount, 0)
            raise translated(error) from error

    def insert(self, into: str, values: str, rows: Sequence[Sequence[Any]], otherwise: str = "") -> None:
        """As `Connection`."""
        self.run_many(f"INSERT INTO {into} VALUES {values} {otherwise}", rows)

    def limit(self, until: float | None) -> float | None:
        """As `Connection`."""
        before, self._until = self._until, until
        # A transaction in which a statement has failed takes no SET; rolled back, it forgets those it took.
        failed = self._connection.info.transaction_status is TransactionStatus.INERROR
        if until is None and not failed and not self.lost:
            self._run_plain("RESET statement_timeout")
        return before

    def _in_time(self) -> None:
        if self._until is None:
            return
        left = self._until - time.monotonic()
        if left <= 0:
            raise BusyError("the query took too long and was stopped", hint="narrow it, or raise the time limit")
        self._run_plain(f"SET statement_timeout = {min(math.ceil(left * 1000), 2**31 - 1)}")

    def begin_read(self) -> None:
        """As `Connection`: the state is that of this moment."""
        # BEGIN alone does not take a view yet.
        self._run_plain("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1")

    def begin_write(self) -> None:
        """As `Connection`."""
        self._run_plain(f"BEGIN; SELECT pg_advisory_xact_lock({self._lock})")

    def _run_plain(self, statements: str) -> None:
        """Run statements without parameters in one message."""
        try:
            self._connection.execute(statements.encode())
        except psycopg.Error as error:
            raise translated(error) from error

    def commit(self) -> None:
        """As `Connection`."""
        try:
            said = self._connection.execute(b"COMMIT").statusmessage
        except psycopg.Error as error:
            if is_lost(error) or self.lost:
                raise UnknownOutcomeError(
                    "the connection to the server was lost during a commit: it may have happened or not",
                    hint="repeat the write with the same idempotency key: it is then done exactly once",
                ) from error
            self.rollback()
            raise translated(error) from error
        if said != "COMMIT":
            raise StorageError("a statement of the transaction had failed: nothing of it was kept")

    def rollback(self) -> None:
        """As `Connection`.

        Raises:
            StorageError: The connection is lost; the server has undone the transaction.
        """
        if self.lost:
            raise StorageError("the connection to the server is lost")
        if self.in_transaction:
            self.rows("ROLLBACK")

    @property
    def in_transaction(self) -> bool:
        """As `Connection`; a transaction in which a statement has failed is open until it is rolled back."""
        return self._connection.info.transaction_status in _OPEN

    @property
    def lost(self) -> bool:
        """As `Connection`."""
        return self._connection.closed

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """Psycopg's connection, for what only PostgreSQL has."""
        return self._connection

    def close(self) -> None:
        """As `Connection`."""
        self._connection.close()


_OPEN = (TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR)

_MAY_DIFFER = ("lock_timeout", "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
"""Units are rewritten, and a connection inside one machine has no keepalives."""
