"""TissDB: documents, search and memory, in one file or on PostgreSQL.

import quanta_tissu.tissdb as tissdb

with tissdb.open("knowledge.db") as db:
notes = db.collection("notes")
written = notes.insert({"title": "A first note"})
print(notes[written.id]["title"])
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from quanta_tissu.errors import DatabaseError, MissingDependencyError
from quanta_tissu.tissdb.backend import Backend
from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.copying import Copied, copy
from quanta_tissu.tissdb.database import Database
from quanta_tissu.tissdb.documents import Document, NewDocument, Written
from quanta_tissu.tissdb.rekey import rekey
from quanta_tissu.tissdb.sqlite.backend import SqliteBackend, TemporaryBackend
from quanta_tissu.tissdb.sqlite.protection import Secret
from quanta_tissu.tissdb.transaction import Transaction, View

__all__ = [
    "Collection",
    "Copied",
    "Database",
    "Document",
    "NewDocument",
    "Secret",
    "Transaction",
    "View",
    "Written",
    "copy",
    "open",
    "rekey",
]


def open(
    url: str | os.PathLike[str],
    *,
    actor: str = "local",
    busy_timeout: float = 10.0,
    timeout: float | None = None,
    key: bytes | None = None,
    passphrase: str | None = None,
) -> Database:
    """Open a database, or make it.

    Args:
        url: A file; `:memory:` for a database that is gone when it is closed; or an address on a PostgreSQL
            server, `postgresql://user@host/database?schema=tissdb`.
        actor: On whose behalf changes are made, for the log.
        busy_timeout: Seconds to wait for another process that is writing.
        timeout: Seconds that queries, searches, counts and pages of scans may take unless they say otherwise.
        key: 32 bytes that encrypt the file; a new file is made encrypted.
        passphrase: Instead of a key, a text from which one is derived.

    Raises:
        StorageError: The file cannot be opened or made, or the server not be reached.
        CorruptionError: It is no database of ours, or is damaged.
        DatabaseError: The engine is too old, the file is of a later format, or the address is of no known kind.
        MissingDependencyError: It is on PostgreSQL, and psycopg is not installed.
    """
    if timeout is not None and not timeout > 0:
        raise DatabaseError(f"timeout = {timeout!r} is no time", hint="seconds, more than 0")
    text = os.fspath(url)
    secret = None if key is None and passphrase is None else Secret(key, passphrase)
    if secret is not None and (text == ":memory:" or "://" in text):
        raise DatabaseError(
            f"only databases in a file are encrypted by a key, and {text.split('://')[0]} is none",
            hint="a server's disk is encrypted by its system (LUKS, or the provider's), the way to it by sslmode",
        )
    if text == ":memory:":
        return Database(TemporaryBackend(), actor=actor, timeout=timeout)
    if text.startswith(("postgresql://", "postgres://")):
        return Database(_postgres(text, busy_timeout), actor=actor, timeout=timeout)
    if "://" in text:
        raise DatabaseError(
            f"{text.split('://')[0]}:// is no kind of database", hint="a file name, :memory:, or postgresql://..."
        )
    return Database(
        SqliteBackend(Path(text), busy_timeout=busy_timeout, secret=secret), actor=actor, timeout=timeout
    )


def _postgres(url: str, busy_timeout: float) -> Backend:
    if importlib.util.find_spec("psycopg") is None:
        raise MissingDependencyError(
            "databases on PostgreSQL need psycopg, which is not installed",
            hint="install it with `pip install 'quanta-tissu[postgres]'`",
        )
    from quanta_tissu.tissdb.postgres.backend import PostgresBackend

    return PostgresBackend(url, busy_timeout=busy_timeout)
