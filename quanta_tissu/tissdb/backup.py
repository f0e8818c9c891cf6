"""Copies of a database that can be trusted: made while it is used, checked, and in place only when whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from quanta_tissu.errors import CorruptionError, DatabaseError, StorageError
from quanta_tissu.tissdb.backend import Backend
from quanta_tissu.tissdb.check import problems
from quanta_tissu.tissdb.sqlite.backend import SqliteBackend, sync_folder
from quanta_tissu.tissdb.sqlite.protection import Secret


def backup(backend: SqliteBackend, target: Path) -> None:
    """Copy a database, as it is at one moment, to a file that appears when it is whole and checked.

    Raises:
        StorageError: The file is there already, or cannot be written.
        CorruptionError: The copy is damaged, which means that the database is.
    """
    if target.exists():
        raise StorageError(f"{target} is there already", hint="name a new file: a backup replaces nothing")
    partial = target.with_name(f".{target.name}.partial")
    remove(partial)
    try:
        backend.backup(partial)
        refuse_damaged(partial, backend.secret)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"the backup cannot be written: {error}") from None
    finally:
        remove(partial)


def restore(source: Path, target: Path, *, secret: Secret | None = None) -> None:
    """Put a backup in the place of a database that is not there (any more).

    Args:
        source: The backup.
        target: The database, which has the key of the backup.
        secret: Key or passphrase, if it is encrypted.

    Raises:
        StorageError: The source is not there, the target is, or it cannot be written.
        CorruptionError: The backup is damaged.
    """
    if not source.is_file():
        raise StorageError(f"there is no backup {source}", hint="name the backup first, then the database")
    if target.exists():
        raise StorageError(
            f"{target} is there already", hint="move it away first: what it holds would be lost otherwise"
        )
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(source, partial)
        refuse_damaged(partial, secret)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StorageError(
            f"the backup {source} cannot be restored to {target}: {error.strerror}",
            hint="check both paths, their permissions, and the room on the disk",
        ) from None
    finally:
        remove(partial)


def refuse_damaged(path: Path, secret: Secret | None) -> None:
    """Raise the error that a copy deserves.

    Raises:
        CorruptionError: It is damaged.
    """
    backend = SqliteBackend(path, secret=secret)
    connection = backend.connect(write=True)
    try:
        if not connection.dialect.has_tables(connection, "_settings"):
            raise CorruptionError(f"{path.name} is no database of TissDB")
        found = list(problems(backend, connection))
        # What the check has read is in the file, not in a log beside it.
        connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
        backend.close()
    if found:
        raise CorruptionError(
            f"the copy is damaged: {found[0]}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""),
            hint="`tissu db verify` says all that is wrong with the database itself",
        )


def remove(partial: Path) -> None:
    """Delete a copy and the files beside it, if they are there."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        partial.with_name(partial.name + suffix).unlink(missing_ok=True)


def require_file(backend: Backend) -> SqliteBackend:
    """The backend, if it is a file.

    Raises:
        DatabaseError: It is not.
    """
    if not isinstance(backend, SqliteBackend):
        raise DatabaseError("only databases in a file are backed up by this", hint="PostgreSQL has pg_dump")
    return backend
