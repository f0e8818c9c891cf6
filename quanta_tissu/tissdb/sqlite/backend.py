"""A database in one file of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

from quanta_tissu.errors import DatabaseError, StorageError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.sqlite.connection import SqliteConnection, check_version
from quanta_tissu.tissdb.sqlite.dialect import SQLITE
from quanta_tissu.tissdb.sqlite.postings import PostingsCache

_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"}

_CHECKPOINT_BYTES = 8 * 2**20
"""Of write-ahead log, from which maintenance copies it into the database file."""

_RESTART_BYTES = 64 * 2**20
"""Of write-ahead log, from which maintenance lets writers wait until it may begin anew."""

_CHECKPOINT_PATIENCE = 0.05
"""Seconds that writers may be made to wait for readers of an old log."""


class SqliteBackend:
    """As `Backend`.

    Args:
        path: The database file, made if it is not there.
        durable: Wait at every commit until the disk has it.
        busy_timeout: Seconds to wait for another process's writer.
        vfs: SQLite's file layer; the system's by default.

    Raises:
        DatabaseError: SQLite is too old, or the file is on a network file system, where locks do not hold.
        StorageError: The file cannot be opened or made.
        CorruptionError: It is no database.
    """

    dialect = SQLITE

    def __init__(
        self, path: Path, *, durable: bool = True, busy_timeout: float = 10.0, vfs: str | None = None
    ) -> None:
        check_version()
        path = path.absolute()
        if path.is_dir():
            raise StorageError(f"{path} is a directory", hint="name a file in it, such as knowledge.db")
        if not path.parent.is_dir():
            raise StorageError(f"there is no directory {path.parent}", hint="make it first")
        _refuse_network(path)
        self.path = path
        self.url = str(path)
        self._durable, self._busy_timeout, self._vfs = durable, busy_timeout, vfs
        self._postings: dict[int, PostingsCache] = {}
        self._maintenance = threading.Lock()
        self._checkpointer: SqliteConnection | None = None
        if not path.exists():
            # SQLite does not wait until the folder has the new file and has lost the journal of making it.
            self.connect(write=True).close()
            sync_folder(path.parent)

    def connect(self, *, write: bool) -> SqliteConnection:
        """As `Backend`."""
        connection = self._connect(write=write, busy_timeout=self._busy_timeout)
        if not write:
            connection.postings = self._postings
        return connection

    def _connect(self, *, write: bool, busy_timeout: float) -> SqliteConnection:
        return SqliteConnection(
            str(self.path), write=write, durable=self._durable, busy_timeout=busy_timeout, vfs=self._vfs
        )

    def maintain(self) -> None:
        """Copy the write-ahead log into the database file once it has grown, without making anybody wait.

        Who writes all the time adds to the log while it is copied, so that it never becomes empty and never begins
        anew. If it has grown large, they wait for the little that is left; but nobody waits for a reader that
        still needs the old log.
        """
        if self._log_size() < _CHECKPOINT_BYTES:
            return
        with self._maintenance:
            if self._checkpointer is None:
                self._checkpointer = self._connect(write=True, busy_timeout=_CHECKPOINT_PATIENCE)
            self._checkpointer.rows("PRAGMA wal_checkpoint(PASSIVE)")
            if self._log_size() >= _RESTART_BYTES:
                self._checkpointer.rows("PRAGMA wal_checkpoint(RESTART)")

    def changed_elsewhere(self, connection: Connection) -> int:
        """As `Backend`."""
        [(version,)] = connection.rows("PRAGMA data_version")
        return int(version)

    def backup(self, target: Path) -> None:
        """As `Backend`; others read and write meanwhile."""
        source, copy = self.connect(write=False), SqliteConnection(str(target), write=True)
        try:
            with copy.raw.backup("main", source.raw, "main") as work:
                while not work.done:
                    work.step(1024)
        finally:
            copy.close()
            source.close()

    def check(self, connection: Connection) -> list[str]:
        """As `Backend`."""
        return [str(text) for (text,) in connection.rows("PRAGMA integrity_check") if text != "ok"]

    def compact(self) -> None:
        """As `Backend`."""
        connection = self.connect(write=True)
        try:
            connection.rows("VACUUM")
            connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()

    def size(self) -> int:
        """As `Backend`: the file and its write-ahead log."""
        return self.path.stat().st_size + self._log_size()

    def _log_size(self) -> int:
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """As `Backend`."""
        with self._maintenance:
            if self._checkpointer is not None:
                self._checkpointer.close()
                self._checkpointer = None


class TemporaryBackend(SqliteBackend):
    """A database that is gone when it is closed, in memory where the system keeps files in memory.

    It is a file all the same: everything behaves as in a database that stays.
    """

    def __init__(self) -> None:
        shared = Path("/dev/shm")
        self._folder = Path(tempfile.mkdtemp(prefix="tissdb-", dir=shared if os.access(shared, os.W_OK) else None))
        super().__init__(self._folder / "memory.db", durable=False)
        self.url = ":memory:"

    def close(self) -> None:
        """As `Backend`; the files go."""
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of a folder's files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_network(path: Path) -> None:
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return  # not Linux: SQLite's own locks must do
    best, kind = "", ""
    for line in mounts:
        _, mount, found, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        if path.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, found
    if kind in _NETWORK_FILE_SYSTEMS:
        raise DatabaseError(
            f"{path} is on a network file system ({kind}), where locks do not hold",
            hint="use a local disk, or PostgreSQL: open('postgresql://...')",
        )
