"""A database in one file of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

import apsw

from quanta_tissu.errors import CorruptionError, DatabaseError, StorageError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.sqlite.connection import SqliteConnection, check_version, damaged, translated
from quanta_tissu.tissdb.sqlite.dialect import SQLITE
from quanta_tissu.tissdb.sqlite.frozen import Frozen, refusal
from quanta_tissu.tissdb.sqlite.postings import PostingsCache
from quanta_tissu.tissdb.sqlite.protection import CHECKSUM_BYTES, Secret, unreadable
from quanta_tissu.tissdb.sqlite.wal import log_header, log_problem

_MAGIC = b"SQLite format 3\0"
"""With which a file begins that is not encrypted."""

_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"}

_CHECKPOINT_BYTES = 8 * 2**20
"""Of write-ahead log, from which maintenance copies it into the database file."""

_RESTART_BYTES = 64 * 2**20
"""Of write-ahead log, from which maintenance lets writers wait until it may begin anew."""

_LOOKS = 3
"""At a log that others begin anew while it is looked at: what it held is in the file then."""

_CHECKPOINT_PATIENCE = 0.05
"""Seconds that writers may be made to wait for readers of an old log."""


class SqliteBackend:
    """As `Backend`.

    Args:
        path: The database file, made if it is not there; one that may not be written is read.
        durable: Wait at every commit until the disk has it.
        busy_timeout: Seconds to wait for another process's writer.
        vfs: SQLite's file layer; by default the system's, with checksums, or the cipher if there is a secret.
        secret: Key or passphrase of an encrypted file.

    Raises:
        DatabaseError: SQLite is too old or cannot encrypt, or the file is on a network file system, where locks do
            not hold.
        StorageError: The file cannot be opened or made.
        CorruptionError: It is no database, is damaged, or the secret is another one.
    """

    dialect = SQLITE

    def __init__(
        self,
        path: Path,
        *,
        durable: bool = True,
        busy_timeout: float = 10.0,
        vfs: str | None = None,
        secret: Secret | None = None,
    ) -> None:
        check_version()
        path = path.absolute()
        if path.is_dir():
            raise StorageError(f"{path} is a directory", hint="name a file in it, such as knowledge.db")
        if not path.parent.is_dir():
            raise StorageError(f"there is no directory {path.parent}", hint="make it first")
        _refuse_network(path)
        if path.exists():
            _refuse_foreign(path, secret)
        self.path = path
        self.url = str(path)
        self._durable, self._busy_timeout, self._vfs = durable, busy_timeout, vfs
        self._frozen = Frozen.found(path)
        self.secret = secret
        self._key = None if secret is None else secret.for_file(path)
        self._postings: dict[int, PostingsCache] = {}
        self._maintenance = threading.Lock()
        self._checkpointer: SqliteConnection | None = None
        if not path.exists():
            # SQLite does not wait until the folder has the new file and has lost the journal of making it.
            self.connect(write=True).close()
            sync_folder(path.parent)

    @property
    def frozen(self) -> bool:
        """As `Backend`."""
        return self._frozen is not None

    def connect(self, *, write: bool) -> SqliteConnection:
        """As `Backend`."""
        connection = self._connect(write=write, busy_timeout=self._busy_timeout)
        if not write:
            connection.postings = self._postings
        return connection

    def _connect(self, *, write: bool, busy_timeout: float) -> SqliteConnection:
        if write and self._frozen is not None:
            raise refusal(self.path)
        return SqliteConnection(
            str(self.path),
            write=write,
            durable=self._durable,
            busy_timeout=busy_timeout,
            vfs=self._vfs,
            key=self._key,
            frozen=self._frozen,
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
        """As `Backend`; others read and write meanwhile. The copy of an encrypted file has the same key."""
        source, copy = self.connect(write=False), SqliteConnection(str(target), write=True, key=self._key)
        try:
            with copy.raw.backup("main", source.raw, "main") as work:
                while not work.done:
                    work.step(1024)
        except apsw.Error as error:
            found = translated(error, str(self.path))
            raise (found if isinstance(found, CorruptionError) else translated(error, str(target))) from error
        finally:
            copy.close()
            source.close()

    def check(self, connection: Connection) -> list[str]:
        """As `Backend`; also whether the write-ahead log is what was written, which SQLite takes for granted."""
        found = self._log_problems()
        try:
            found += [str(text) for (text,) in connection.rows("PRAGMA integrity_check") if text != "ok"]
        except CorruptionError as error:
            if not found:
                raise
            return [*(f"{self.path}: {text}" for text in found), error.message]
        return [f"{self.path}: {text}" for text in found]

    def _log_problems(self) -> list[str]:
        if self._frozen is not None:
            return []  # it has none
        log = Path(f"{self.path}-wal")
        connection = self.connect(write=False)
        try:
            for _ in range(_LOOKS):
                before = log_header(log)
                [(_, frames, _)] = connection.rows("PRAGMA wal_checkpoint(NOOP)")
                problem = log_problem(log, frames)
                if problem is None:
                    break
                if log_header(log) == before:
                    return [f"its write-ahead log: {problem}"]
        finally:
            connection.close()
        return []

    def upgrade(self, format: int) -> None:
        """As `Backend`: give the pages of a file of format 1 their checksums.

        Raises:
            CorruptionError: A file of a later format has none, or they were switched off by damage.
        """
        if self._key is not None or self._checksums() == CHECKSUM_BYTES:
            return
        if format > 1:
            raise damaged(str(self.path), "it says that its pages have no checksums")
        connection = self.connect(write=True)
        try:
            connection.raw.reserve_bytes(reserve=CHECKSUM_BYTES)
            # Pages in the write-ahead log are written without checksums as long as the file itself has none.
            connection.rows("PRAGMA journal_mode = delete")
            connection.rows("VACUUM")
        finally:
            connection.close()
        self.connect(write=True).close()

    def _checksums(self) -> int:
        connection = self.connect(write=False)
        try:
            connection.rows("SELECT 1 FROM sqlite_schema LIMIT 1")
            return int(connection.raw.reserve_bytes())
        finally:
            connection.close()

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


def _refuse_foreign(path: Path, secret: Secret | None) -> None:
    """Say what a file is that cannot be opened, before SQLite says that it is no database."""
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_MAGIC))
    except OSError as error:
        raise unreadable(path, error) from None
    if not beginning:
        return  # a new database begins as an empty file
    if len(beginning) < len(_MAGIC):
        raise damaged(str(path), f"it has {len(beginning)} bytes only")
    if secret is not None and beginning == _MAGIC:
        raise DatabaseError(
            f"{path} is not encrypted, and a key was given", hint="`tissu db rekey` encrypts it; or give no key"
        )


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
