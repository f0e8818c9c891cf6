"""A connection to SQLite, opened by one recipe that is read back, and its errors in our words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from quanta_tissu.errors import BusyError, CorruptionError, DatabaseError, StorageError, UnknownOutcomeError
from quanta_tissu.tissdb.backend import Row
from quanta_tissu.tissdb.sqlite.dialect import SQLITE
from quanta_tissu.tissdb.sqlite.functions import register
from quanta_tissu.tissdb.sqlite.postings import PostingsCache

OLDEST = (3, 51, 3)
"""SQLite before this could lose committed writes when a log was reset during a checkpoint."""

_CACHED_STATEMENTS = 200


class SqliteConnection:
    """As `Connection`.

    Args:
        path: The database file; it is made if it is not there.
        write: For the one writer of this process; others cannot write.
        durable: Wait at every commit until the disk has it.
        busy_timeout: Seconds to wait for another process's writer.
        vfs: SQLite's file layer; the system's by default.
    """

    dialect = SQLITE
    lost = False

    def __init__(
        self, path: str, *, write: bool, durable: bool = True, busy_timeout: float = 10.0, vfs: str | None = None
    ) -> None:
        self.failed_row = 0
        self.postings: dict[int, PostingsCache] | None = None  # by index, shared by readers of a backend
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        with _in_our_words():
            self._connection = apsw.Connection(
                path, flags=flags, statementcachesize=_CACHED_STATEMENTS, **({"vfs": vfs} if vfs else {})
            )
            try:
                self._set_up(write, durable, busy_timeout)
                register(self._connection)
            except BaseException:
                self._connection.close(True)
                raise

    def _set_up(self, write: bool, durable: bool, busy_timeout: float) -> None:
        connection = self._connection
        connection.set_busy_timeout(round(busy_timeout * 1000))
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
        recipe = {
            "journal_mode": "wal",
            "synchronous": 2 if durable else 0,
            # An automatic checkpoint that fails makes a commit fail which has happened (`maintain` does them).
            "wal_autocheckpoint": 0,
            "foreign_keys": 1,
            "temp_store": 2,
            "cache_size": -65_536,  # KiB
            "mmap_size": 0,
            "query_only": 0 if write else 1,
        }
        for name, value in recipe.items():
            # fetchall: a cursor that is not read to its end may not have done its work.
            connection.execute(f"PRAGMA {name} = {value}").fetchall()
            found = connection.pragma(name)
            if found != value:
                raise DatabaseError(
                    f"SQLite did not take {name} = {value}: it stays {found}",
                    hint="the file must be on a disk of this machine, with a file system that can lock",
                )

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """As `Connection`."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except apsw.Error as error:
            raise translated(error) from error

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """As `Connection`."""
        try:
            cursor = self._connection.execute(sql, parameters)
            found: Row | None = cursor.fetchone()
            cursor.close()
        except apsw.Error as error:
            raise translated(error) from error
        return found

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """As `Connection`."""
        try:
            self._connection.execute(sql, parameters).fetchall()
        except apsw.Error as error:
            raise translated(error) from error
        return self._connection.changes()

    def run_many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        """As `Connection`."""
        begun = 0

        def counted() -> Iterator[Sequence[Any]]:
            nonlocal begun
            for row in parameters:
                begun += 1
                yield row

        try:
            self._connection.executemany(sql, counted()).fetchall()
        except apsw.Error as error:
            self.failed_row = begun - 1
            raise translated(error) from error

    def begin_read(self) -> None:
        """As `Connection`: the state is that of this moment."""
        self.rows("BEGIN")
        self.rows("SELECT 1 FROM sqlite_schema LIMIT 1")  # BEGIN alone does not take a view yet

    def begin_write(self) -> None:
        """As `Connection`."""
        self.rows("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """As `Connection`."""
        try:
            self._connection.execute("COMMIT").fetchall()
        except apsw.IOError as error:
            raise UnknownOutcomeError(
                f"the disk failed during a commit ({error}): it may have happened or not",
                hint="repeat the write with the same idempotency key: it is then done exactly once",
            ) from error
        except apsw.Error as error:
            self.rollback()
            raise translated(error) from error

    def rollback(self) -> None:
        """As `Connection`."""
        if self.in_transaction:
            self.rows("ROLLBACK")

    @property
    def in_transaction(self) -> bool:
        """As `Connection`."""
        return not self._connection.get_autocommit()

    @property
    def raw(self) -> apsw.Connection:
        """APSW's connection, for what only SQLite has: backups, checkpoints, functions."""
        return self._connection

    def close(self) -> None:
        """As `Connection`."""
        self._connection.close(True)


def translated(error: Exception) -> Exception:
    """An error of SQLite as one of ours, or the same if it says nothing about the user's input or machine."""
    text = str(error)
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return BusyError(
                "another program has been writing to the database for too long",
                hint="try again; nothing was written",
            )
        case apsw.FullError():
            return StorageError(f"the disk is full ({text})", hint="make room; nothing of this write was kept")
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.CantOpenError():
            return StorageError(
                f"the database cannot be written or opened ({text})", hint="check the path and its permissions"
            )
        case apsw.NotADBError() | apsw.CorruptError():
            return CorruptionError(
                f"the file is damaged, or no database, or encrypted ({text})",
                hint="restore a backup; `tissu db verify` says what is damaged",
            )
        case apsw.IOError():
            return StorageError(f"the disk failed ({text})", hint="check the disk; nothing of this write was kept")
        case apsw.InterruptError():
            return BusyError("the query took too long and was stopped", hint="narrow it, or raise the time limit")
        case apsw.TooBigError():
            return DatabaseError(f"a value is too large for SQLite ({text})", hint="split it")
    return error


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise translated(error) from error


def check_version() -> None:
    """Refuse an SQLite that is known to lose data.

    Raises:
        DatabaseError: It is too old.
    """
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST:
        raise DatabaseError(
            f"SQLite {apsw.sqlite_lib_version()} can lose committed writes",
            hint=f"install apsw with SQLite {'.'.join(map(str, OLDEST))} or later: pip install -U apsw",
        )
