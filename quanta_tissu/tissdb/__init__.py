"""TissDB: documents, search and memory, in one file or on PostgreSQL.

import quanta_tissu.tissdb as tissdb

with tissdb.open("knowledge.db") as db:
notes = db.collection("notes")
written = notes.insert({"title": "A first note"})
print(notes[written.id]["title"])
"""

from __future__ import annotations

import os
from pathlib import Path

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.database import Database
from quanta_tissu.tissdb.documents import Document, NewDocument, Written
from quanta_tissu.tissdb.sqlite.backend import SqliteBackend, TemporaryBackend
from quanta_tissu.tissdb.transaction import Transaction, View

__all__ = ["Collection", "Database", "Document", "NewDocument", "Transaction", "View", "Written", "open"]


def open(url: str | os.PathLike[str], *, actor: str = "local", busy_timeout: float = 10.0) -> Database:
    """Open a database, or make it.

    Args:
        url: A file, or `:memory:` for one that is gone when it is closed.
        actor: On whose behalf changes are made, for the log.
        busy_timeout: Seconds to wait for another process that is writing.

    Raises:
        StorageError: The file cannot be opened or made.
        CorruptionError: It is no database of ours, or is damaged.
        DatabaseError: The engine is too old, the file is of a later format, or the address is of no known kind.
    """
    text = os.fspath(url)
    if text == ":memory:":
        return Database(TemporaryBackend(), actor=actor)
    if "://" in text:
        raise DatabaseError(f"{text.split('://')[0]}:// is no kind of database", hint="a file name, or :memory:")
    return Database(SqliteBackend(Path(text), busy_timeout=busy_timeout), actor=actor)
