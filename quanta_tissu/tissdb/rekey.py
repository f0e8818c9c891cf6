"""Encrypt a database that is there, give it another key, or decrypt it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from quanta_tissu.errors import BusyError, NotFoundError, StorageError
from quanta_tissu.tissdb.backup import refuse_damaged, remove
from quanta_tissu.tissdb.sqlite.backend import SqliteBackend, sync_folder
from quanta_tissu.tissdb.sqlite.connection import SqliteConnection
from quanta_tissu.tissdb.sqlite.protection import CHECKSUM_BYTES, CIPHER, Secret, require_cipher

_BEGINNING = 4096


def rekey(path: Path, *, old: Secret | None, new: Secret | None, busy_timeout: float = 1.0) -> None:
    """Put a copy with another key in a database's place, once it is whole and checked.

    Nobody else may have it open. Whatever happens meanwhile, there is either the old file or the new one.
    What the disk keeps of the old file's blocks is not erased.

    Args:
        path: The database.
        old: Its key or passphrase; None if it is not encrypted.
        new: What it is to have; None to decrypt it.
        busy_timeout: Seconds to wait for others to close it.

    Raises:
        NotFoundError: There is no such file.
        BusyError: Somebody has it open.
        CorruptionError: It is damaged, or `old` is not its key.
        StorageError: The new file cannot be written.
    """
    require_cipher()
    if not path.is_file():
        raise NotFoundError(f"there is no database {path}")
    backend = SqliteBackend(path, secret=old, busy_timeout=busy_timeout)
    partial = path.with_name(f".{path.name}.partial")
    remove(partial)
    # Opened before there are locks: closing any handle of a file gives up all locks that a process has on it.
    handle = os.open(path, os.O_RDWR)
    connection = backend.connect(write=True)
    try:
        _lock(connection, path)
        _copy(connection, partial, None if old is None else old.for_file(path), new)
        shutil.copymode(path, partial)
        refuse_damaged(partial, new)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(path.parent)
        # Who has opened the old file and waits for our lock must not write into what nobody will see.
        os.pwrite(handle, bytes(_BEGINNING), 0)
    except OSError as error:
        raise StorageError(f"the new file cannot be written: {error}") from None
    finally:
        connection.close()
        backend.close()
        os.close(handle)
        remove(partial)


def _lock(connection: SqliteConnection, path: Path) -> None:
    """Let nobody else open the file until the connection is closed."""
    try:
        connection.rows("PRAGMA locking_mode = exclusive")
        connection.rows("PRAGMA journal_mode = delete")
        connection.rows("BEGIN EXCLUSIVE")
        connection.rows("COMMIT")
    except BusyError:
        raise BusyError(
            f"{path} is open elsewhere", hint="close it there; a key can only be changed while nobody uses it"
        ) from None


def _copy(source: SqliteConnection, target: Path, key: str | None, new: Secret | None) -> None:
    copy = SqliteConnection(str(target), write=True, key=key)
    try:
        with copy.raw.backup("main", source.raw, "main") as work:
            work.step(-1)
        copy.rows("PRAGMA journal_mode = delete")  # the cipher cannot be changed under a write-ahead log
        copy.raw.pragma("cipher", CIPHER)
        copy.raw.pragma("rekey", "" if new is None else new.for_new_file())
    finally:
        copy.close()
    if new is None:
        copy = SqliteConnection(str(target), write=True)
        try:
            copy.rows("PRAGMA journal_mode = delete")
            copy.raw.reserve_bytes(reserve=CHECKSUM_BYTES)
            copy.rows("VACUUM")
        finally:
            copy.close()
