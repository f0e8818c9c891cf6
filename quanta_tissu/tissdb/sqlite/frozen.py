"""Files that this process may not write: a backup on a medium that cannot be written, another user's database.

SQLite writes also where it only reads, for readers note in a shared file what of the write-ahead log they need. A
file that nobody writes can be read without that. That nobody does is not sure, since it may be this process only
that may not; so it is looked at before each statement.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from quanta_tissu.errors import StorageError


class Frozen(NamedTuple):
    """A database file as it was when it was opened.

    Attributes:
        path: The file.
        state: Which file it is, how long, and when it was last written.
    """

    path: Path
    state: tuple[int, ...]

    @classmethod
    def found(cls, path: Path) -> Frozen | None:
        """A file that may be read and not written; None if it may be, or is not there.

        Raises:
            StorageError: It has a write-ahead log, which only those can read who may write.
        """
        if not path.exists() or _writable(path):
            return None
        if _log_size(path):
            raise StorageError(
                f"{path} cannot be written here, and has writes in its log {path.name}-wal that are not in it yet",
                hint="open it once with the right to write, or copy both files to a folder of your own",
            )
        return cls(path, _state(path))

    @property
    def url(self) -> str:
        """How SQLite is told to read it without a log and without locks."""
        return f"file:{quote(str(self.path))}?immutable=1"

    def check(self) -> None:
        """See that it is as it was.

        Raises:
            StorageError: Somebody has written it.
        """
        if _log_size(self.path) or _state(self.path) != self.state:
            raise StorageError(
                f"{self.path} was written meanwhile by somebody who may do so", hint="open it again"
            )


def refusal(path: Path) -> StorageError:
    """What to say to who would write it."""
    return StorageError(
        f"{path} can only be read: it or its folder may not be written",
        hint="change their permissions, or write a copy: tissu db backup",
    )


def _writable(path: Path) -> bool:
    log = Path(f"{path}-wal")  # what is there need not be made
    return os.access(path, os.W_OK) and os.access(log if log.exists() else path.parent, os.W_OK)


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _log_size(path: Path) -> int:
    try:
        return os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return 0
