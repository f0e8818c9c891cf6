"""Replacing a file in a held folder at once: a reader, a crash or a full disk sees the old file or the new one."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress

PERMISSIONS = 0o777
"""The bits of a mode that are kept: setuid and setgid never outlive a change of content."""

_END = ".new"

_NO_ANONYMOUS = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}


def replace(folder: int, name: str, data: bytes, old: os.stat_result | None) -> None:
    """Put a file with this content at a name, durably.

    The content is written without a name first (O_TMPFILE), where the file system can, then gets a name of its
    own, then that name is moved over the old one. A process that is killed between these two leaves that name
    behind, and `sweep` removes it. Nothing is ever written *into* what was there: a device, pipe or hard link at
    that name is not touched, but replaced.

    Args:
        folder: The descriptor of the folder that holds the name.
        name: A name without `/`.
        data: The new content.
        old: What is there now, if anything: its permissions are kept, and its owner where the system lets us. A
            new file gets 0666 less the umask.

    Raises:
        OSError: Disk full, no permission ...; the old file is as it was.
    """
    temporary = f"{_beginning(name)}{secrets.token_hex(8)}{_END}"
    descriptor, named = _unnamed(folder), False
    if descriptor is None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor, named = os.open(temporary, flags, 0o666, dir_fd=folder), True
    try:
        try:
            write_all(descriptor, data)
            if old is not None:
                keep(descriptor, old)
            os.fsync(descriptor)
            if not named:
                # The kernel's own way to name what has no name; the descriptor is ours, so the link is no trap.
                os.link(f"/proc/self/fd/{descriptor}", temporary, dst_dir_fd=folder, follow_symlinks=True)
                named = True
        finally:
            os.close(descriptor)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        if named:
            os.unlink(temporary, dir_fd=folder)
        raise
    synchronise(folder)


def sweep(folder: int, name: str) -> None:
    """Remove what killed processes have left of replacing a file; none may be doing so now."""
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        for found in os.listdir(listed):
            if re.fullmatch(re.escape(_beginning(name)) + "[0-9a-f]{16}" + re.escape(_END), found):
                os.unlink(found, dir_fd=folder)
    finally:
        os.close(listed)


def keep(descriptor: int, old: os.stat_result) -> None:
    """Give an open file the permissions of another, and its owner where that is allowed."""
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        _if_allowed(lambda: os.fchown(descriptor, old.st_uid, old.st_gid))
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & PERMISSIONS)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however many calls that takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def synchronise(folder: int) -> None:
    """Bring the names in a folder to the disk, where it may be read."""

    def bring() -> None:
        # What holds the folder (O_PATH) cannot be flushed.
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    _if_allowed(bring)


def _beginning(name: str) -> str:
    return f".{name[:100]}."


def _unnamed(folder: int) -> int | None:
    """A file without a name in a folder, or None where the file system knows none (or /proc is missing)."""
    if not hasattr(os, "O_TMPFILE") or not os.path.exists("/proc/self/fd"):
        return None
    try:
        return os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno in _NO_ANONYMOUS:
            return None
        raise


def _if_allowed(act: Callable[[], None]) -> None:
    with suppress(PermissionError):
        act()
