"""Which files of a project a command has changed: looked at before and after, hashed only where they differ."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path

from quanta_tissu.tisslang.engine.effects import FileChange

_SKIPPED = frozenset({".git", ".tissu", ".venv", "node_modules", "__pycache__", ".mypy_cache", ".pytest_cache"})
_MOST_FILES = 20_000
_HASHED = 64 * 2**20  # bytes that are hashed at most to know what files were before

_Signature = tuple[int, int, int, int]


class FileState:
    """The files of a folder, as they were when it was last looked at.

    Folders in which tools keep what they can make again (`.venv`, `node_modules`, ...) are passed over.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[_Signature, str | None]] = {}
        self.complete = True
        with self._lock:
            self._look(_HASHED)

    def changes(self) -> tuple[FileChange, ...]:
        """What is different since the last look."""
        with self._lock:
            before = self._seen
            self._look(_HASHED)
            after = self._seen
        found: list[FileChange] = []
        for path in sorted(before.keys() | after.keys()):
            old, new = before.get(path), after.get(path)
            if old is None and new is not None:
                found.append(("A", path, None, new[1]))
            elif new is None and old is not None:
                found.append(("D", path, old[1], None))
            elif old is not None and new is not None and old[0] != new[0] and (old[1] is None or old[1] != new[1]):
                found.append(("M", path, old[1], new[1]))
        return tuple(found)

    def _look(self, hashed: int) -> None:
        seen: dict[str, tuple[_Signature, str | None]] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(self._root / folder))
            except OSError:
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                try:
                    info = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(info.st_mode):
                    if entry.name not in _SKIPPED:
                        folders.append(path)
                    continue
                if len(seen) >= _MOST_FILES:
                    self.complete = False
                    self._seen = seen
                    return
                signature = (info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino)
                known = self._seen.get(path)
                if known is not None and known[0] == signature:
                    seen[path] = known
                    continue
                digest = None
                if stat.S_ISREG(info.st_mode) and info.st_size <= hashed:
                    hashed -= info.st_size
                    digest = _digest(self._root / path)
                seen[path] = (signature, digest)
        self._seen = seen


def _digest(path: Path) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return None
