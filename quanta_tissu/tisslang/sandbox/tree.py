"""Walking, copying and removing whole trees from a held folder, without following a link.

A tree may have been made by a hostile command: folders a thousand deep, names that are no text, pipes, devices,
files without permissions. Depth is bounded; removing needs no depth at all.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import beneath

DEEPEST = 200
"""Folders inside one another; each is an open file while it is walked."""

CHUNK = 2**20
_FICLONE = 0x40049409  # ioctl_ficlone(2)


class Entry(NamedTuple):
    """Something in a tree: its path from the tree's root, and where it hangs.

    Names that are no UTF-8 have surrogates, as everywhere in `os`. The folder's descriptor is open until the next
    entry.
    """

    path: str
    folder: int
    name: str
    stat: os.stat_result


def walk(
    root: int, *, leave_out: frozenset[str] = frozenset(), unreadable: list[str] | None = None
) -> Iterator[Entry]:
    """Everything below a held folder, by name; a folder comes before what is in it.

    Args:
        root: The folder's descriptor, open for reading.
        leave_out: Names that are passed over, at any depth, with all that is in them.
        unreadable: Takes the paths of folders that may not be listed; without it they are passed over.

    Raises:
        SandboxError: Folders are nested deeper than `DEEPEST`.
    """
    yield from _below(root, "", 0, leave_out, [] if unreadable is None else unreadable)


def _below(
    folder: int, above: str, depth: int, leave_out: frozenset[str], unreadable: list[str]
) -> Iterator[Entry]:
    if depth > DEEPEST:
        raise SandboxError(
            f"folders are nested more than {DEEPEST} deep, from {above[:60]}… on",
            hint="remove them; no program needs that",
        )
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name not in leave_out)
    for name in names:
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue  # another process has removed it meanwhile
        path = above + name
        yield Entry(path, folder, name, found)
        if stat.S_ISDIR(found.st_mode):
            try:
                descriptor = open_folder(folder, name)
            except PermissionError:
                unreadable.append(path)
                continue
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                yield from _below(descriptor, f"{path}/", depth + 1, leave_out, unreadable)
            finally:
                os.close(descriptor)


def open_folder(folder: int, name: str) -> int:
    """The descriptor of a folder in a held one, for reading; a link is NotADirectoryError."""
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


def open_regular(folder: int, name: str) -> int:
    """The descriptor of a regular file in a held folder, for reading.

    Raises:
        OSError: EINVAL if it is a device, a pipe, a socket or a folder; ELOOP if it is a link.
    """
    # Looked at before it is opened, because opening some devices does something.
    _require_regular(os.stat(name, dir_fd=folder, follow_symlinks=False))
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        _require_regular(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        number = errno.ELOOP if stat.S_ISLNK(found.st_mode) else errno.EINVAL
        raise OSError(number, os.strerror(number))


def hashed(file: BufferedReader) -> str:
    """The digest of what is left to read: "sha256:" and 64 hexadecimal digits."""
    return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def copy_content(source: int, target: int) -> str:
    """Copy a file's content to an empty file, sharing its blocks where the file system can (FICLONE).

    Args:
        source: A descriptor at the beginning of the file.
        target: A descriptor to write to.

    Returns:
        The digest of what was copied.
    """
    shared = _clone(source, target)
    digest = hashlib.sha256()
    while chunk := os.read(source, CHUNK):
        digest.update(chunk)
        rest = memoryview(b"" if shared else chunk)
        while rest:
            rest = rest[os.write(target, rest) :]
    return f"sha256:{digest.hexdigest()}"


def _clone(source: int, target: int) -> bool:
    try:
        from fcntl import ioctl

        ioctl(target, _FICLONE, source)
    except (ImportError, OSError):  # not Linux; another file system, or one without shared blocks
        return False
    return True


def remove(parent: int, name: str) -> None:
    """Remove a tree, however deep it is and whatever its permissions; nothing happens if it is not there.

    Folders are moved up to the top before they are emptied, so that two open files are enough for any depth.

    Raises:
        OSError: Something cannot be removed; the rest is gone.
    """
    try:
        top = accessible(parent, name)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        while folders := _empty(top, top):
            for folder in folders:
                inner = accessible(top, folder)
                try:
                    _empty(inner, top)
                finally:
                    os.close(inner)
                os.rmdir(folder, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _empty(folder: int, top: int) -> list[str]:
    """Remove the files of a folder and move its folders to the top, where they stay and are returned."""
    folders = []
    for name in os.listdir(folder):
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
        elif folder == top:
            folders.append(name)
        else:
            os.close(accessible(folder, name))  # a folder that may not be written may not be moved
            os.rename(name, f"{secrets.token_hex(16)}.removed", src_dir_fd=folder, dst_dir_fd=top)
    return folders


def accessible(parent: int, name: str) -> int:
    """The descriptor of a folder, for reading, after its owner may do everything in it."""
    held = os.open(name, beneath.HOLD | os.O_NOFOLLOW, dir_fd=parent)
    try:
        if os.fstat(held).st_mode & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{held}", 0o700)
    finally:
        os.close(held)
    return open_folder(parent, name)
