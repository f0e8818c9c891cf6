"""A connection to SQLite, opened by one recipe that is read back, and its errors in our words."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from typing import Any

import apsw

from quanta_tissu.errors import BusyError, CorruptionError, DatabaseError, StorageError, UnknownOutcomeError
from quanta_tissu.tissdb.backend import Row
from quanta_tissu.tissdb.sqlite.dialect import SQLITE
from quanta_tissu.tissdb.sqlite.frozen import Frozen
from quanta_tissu.tissdb.sqlite.functions import register
from quanta_tissu.tissdb.sqlite.postings import PostingsCache
from quanta_tissu.tissdb.sqlite.protection import CHECKSUM_BYTES, CIPHER, checksum_layer, cipher_layer

OLDEST = (3, 51, 3)
"""SQLite before this could lose committed writes when a log was reset during a checkpoint."""

_CACHED_STATEMENTS = 200

_ROWS_TOGETHER = 512
"""Rows that one statement inserts at most; those for powers of two are enough, and few to prepare."""

_STEPS = 1000
"""Instructions of SQLite's machine between looks at the clock, some tens of microseconds."""


class SqliteConnection:
    """As `Connection`.

    Args:
        path: The database file; it is made if it is not there.
        write: For the one writer of this process; others cannot write.
        durable: Wait at every commit until the disk has it.
        busy_timeout: Seconds to wait for another process's writer.
        vfs: SQLite's file layer; by default the system's, with checksums, or the cipher if there is a key.
        key: Of the cipher (`Secret.for_file`), if the file is encrypted.
        frozen: The file may not be written.
    """

    dialect = SQLITE
    lost = False

    def __init__(
        self,
        path: str,
        *,
        write: bool,
        durable: bool = True,
        busy_timeout: float = 10.0,
        vfs: str | None = None,
        key: str | None = None,
        frozen: Frozen | None = None,
    ) -> None:
        self._path = path
        self._frozen = frozen
        self.failed_row = 0
        self._until: float | None = None
        self.postings: dict[int, PostingsCache] | None = None  # by index, shared by readers of a backend
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        if frozen is not None:
            path, flags = frozen.url, apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        vfs = vfs or (checksum_layer() if key is None else cipher_layer())
        with self._in_our_words():
            self._connection = apsw.Connection(path, flags=flags, statementcachesize=_CACHED_STATEMENTS, vfs=vfs)
            try:
                self._connection.set_busy_timeout(round(busy_timeout * 1000))
                self._protect(key)
                self._set_up(write, durable)
                register(self._connection)
            except BaseException:
                self._connection.close(True)
                raise

    def _protect(self, key: str | None) -> None:
        """Give the cipher its key, or a new file room for checksums."""
        if key is not None:
            self._connection.pragma("cipher", CIPHER)
            self._connection.pragma("key", key)
        elif self._frozen is None and self._connection.pragma("page_count") == 0:
            self._connection.reserve_bytes(reserve=CHECKSUM_BYTES)

    def _set_up(self, write: bool, durable: bool) -> None:
        connection = self._connection
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
        recipe = {
            "journal_mode": "wal" if self._frozen is None else "delete",
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
        if self._until is not None and time.monotonic() >= self._until:  # short statements take no `_STEPS`
            raise translated(apsw.InterruptError(), self._path)
        if self._frozen is not None:
            self._frozen.check()
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except apsw.Error as error:
            raise translated(error, self._path) from error

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """As `Connection`."""
        if self._frozen is not None:
            self._frozen.check()
        try:
            cursor = self._connection.execute(sql, parameters)
            found: Row | None = cursor.fetchone()
            cursor.close()
        except apsw.Error as error:
            raise translated(error, self._path) from error
        return found

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """As `Connection`."""
        try:
            self._connection.execute(sql, parameters).fetchall()
        except apsw.Error as error:
            raise translated(error, self._path) from error
        return self._connection.changes()

    def run_many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        """As `Connection`."""
        try:
            self._connection.executemany(sql, parameters).fetchall()
        except apsw.Error as error:
            raise translated(error, self._path) from error

    def insert(self, into: str, values: str, rows: Sequence[Sequence[Any]], otherwise: str = "") -> None:
        """As `Connection`: many rows a statement, so that Python's lock is let go and taken again for few."""
        self.failed_row = 0
        for start in range(0, len(rows), _ROWS_TOGETHER):
            some = rows[start : start + _ROWS_TOGETHER]
            room = 1 << (len(some) - 1).bit_length()
            parameters = list(chain.from_iterable(some))
            parameters += [None] * ((room - len(some)) * len(some[0]))
            try:
                self._connection.execute(_insertion(into, values, otherwise, room), parameters).fetchall()
            except apsw.ConstraintError as error:
                if room == 1 or not self.in_transaction:
                    raise translated(error, self._path) from error
                self._insert_singly(_insertion(into, values, otherwise, 1), some)
            except apsw.Error as error:
                raise translated(error, self._path) from error
            self.failed_row = start + len(some)

    def _insert_singly(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows of which one was refused with all others, to know which it was."""
        try:
            for row in rows:
                self._connection.execute(sql, row).fetchall()
                self.failed_row += 1
        except apsw.Error as error:
            raise translated(error, self._path) from error

    def limit(self, until: float | None) -> float | None:
        """As `Connection`."""
        before, self._until = self._until, until
        handler = None if until is None else lambda: time.monotonic() >= until
        self._connection.set_progress_handler(handler, _STEPS)
        return before

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
            raise translated(error, self._path) from error

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

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise translated(error, self._path) from error


@lru_cache(maxsize=_CACHED_STATEMENTS)
def _insertion(into: str, values: str, otherwise: str, rows: int) -> str:
    """A statement for as many rows or fewer: those that begin with NULL are none."""
    if rows == 1:
        return f"INSERT INTO {into} VALUES {values} {otherwise}"
    table = ",".join([values.replace(" ", "")] * rows)
    return f"INSERT INTO {into} SELECT * FROM (VALUES {table}) WHERE column1 IS NOT NULL {otherwise}"


def translated(error: Exception, path: str) -> Exception:
    """An error of SQLite as one of ours, or the same if it says nothing about the user's input or machine."""
    text = str(error)
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return BusyError(
                "another program has been writing to the database for too long",
                hint="try again; nothing was written",
            )
        case apsw.FullError():
            return StorageError(
                f"the disk of {path} is full ({text})", hint="make room; nothing of this write was kept"
            )
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.CantOpenError():
            return StorageError(
                f"{path} cannot be written or opened ({text})", hint="check the path and its permissions"
            )
        case apsw.NotADBError():
            return CorruptionError(
                f"{path} is no database, or its beginning is damaged, or it is encrypted and this is not its key",
                hint="nothing was changed: is it the right file, and the right key? Otherwise restore a backup",
            )
        case apsw.CorruptError():
            return damaged(path, "a page is not what was written" if text == "not an error" else text)
        case apsw.IOError() if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
            return damaged(path, "a page is not what was written")
        case apsw.IOError():
            return StorageError(
                f"the disk failed at {path} ({text})", hint="check the disk; nothing of this write was kept"
            )
        case apsw.InterruptError():
            return BusyError("the query took too long and was stopped", hint="narrow it, or raise the time limit")
        case apsw.TooBigError():
            return DatabaseError(f"a value is too large for SQLite ({text})", hint="split it")
    return error


def damaged(path: str, what: str) -> CorruptionError:
    """What to say of a file that is not what was written."""
    return CorruptionError(
        f"{path} is damaged: {what}",
        hint="`tissu db verify` says what is damaged, `tissu db restore` puts a backup in its place",
    )


def check_version() -> None:
    """Refuse an SQLite that is known to lose data.

    Raises:
        DatabaseError: It is too old.
    """
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST:
        raise DatabaseError(
            f"SQLite {apsw.sqlite_lib_version()} can lose committed writes",
            hint=f"pip install -U apsw-sqlite3mc; SQLite {'.'.join(map(str, OLDEST))} or later is needed",
        )
