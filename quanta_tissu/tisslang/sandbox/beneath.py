"""Finding folders below a held one, so that nothing outside can be reached, whatever happens meanwhile.

A path that was checked and is then opened by its text can be another path by then. So nothing here goes by text:
the project's folder is held open, and everything is found from that descriptor, by one of two ways with the same
promise:

- `Kernel`: the system call openat2 with RESOLVE_BENEATH (Linux 5.6). The kernel follows links and refuses at the
  moment in which a step would leave the held folder. Links inside the project work.
- `Walk`: name by name, each opened below the last with O_NOFOLLOW. Works everywhere; follows no links at all.

Source: openat2(2), path_resolution(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from typing import NamedTuple, Protocol

# Where the system has no O_PATH (macOS), a folder can still be held by reading it.
HOLD = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC

_OPENAT2 = 437  # the same number on every architecture but Alpha
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
# A rename anywhere lets the kernel give up on a `..` in a link; so often it is asked again.
_TRIES = 128


class Folder(NamedTuple):
    """A folder that was found: a descriptor to close, and the names that really lead to it from the root."""

    descriptor: int
    names: tuple[str, ...]


class Resolver(Protocol):
    """A way of finding; errors are those of the operating system, EXDEV for what leads outside."""

    def folder(self, root: int, names: tuple[str, ...]) -> Folder:
        """Hold the folder at a path below `root`.

        Raises:
            OSError: There is none, it is no folder, or it is not below the root.
        """
        ...

    def target(self, root: int, names: tuple[str, ...]) -> tuple[str, ...]:
        """The names that really lead to where a link leads.

        Raises:
            OSError: It leads nowhere, outside, or links are not followed (ELOOP).
        """
        ...


class Walk:
    """Name by name, following no links."""

    def folder(self, root: int, names: tuple[str, ...]) -> Folder:
        """As `Resolver.folder`; a link on the way is ELOOP."""
        held = os.open(".", HOLD, dir_fd=root)
        for name in names:
            try:
                below = os.open(name, HOLD | os.O_NOFOLLOW, dir_fd=held)
            except NotADirectoryError as error:
                # With O_DIRECTORY a link is "not a directory" like a file; whoever reads the message should know
                # which.
                if _is_link(held, name):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
                raise
            finally:
                os.close(held)
            held = below
        return Folder(held, names)

    def target(self, root: int, names: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse: this way follows no links."""
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


class Kernel:
    """By openat2, which follows links as far as they stay inside."""

    def folder(self, root: int, names: tuple[str, ...]) -> Folder:
        """As `Resolver.folder`; a way that leads outside is EXDEV."""
        descriptor = openat2(root, "/".join(names) or ".", HOLD)
        try:
            return Folder(descriptor, _names(root, descriptor))
        except BaseException:
            os.close(descriptor)
            raise

    def target(self, root: int, names: tuple[str, ...]) -> tuple[str, ...]:
        """As `Resolver.target`."""
        descriptor = openat2(root, "/".join(names), os.O_PATH | os.O_CLOEXEC)
        try:
            return _names(root, descriptor)
        finally:
            os.close(descriptor)


@cache
def resolver() -> Resolver:
    """The best way on this machine: `Kernel` where openat2 and /proc work, else `Walk`."""
    try:
        root = os.open("/", HOLD)
        try:
            os.close(Kernel().folder(root, ()).descriptor)
        finally:
            os.close(root)
    except (
        OSError,
        AttributeError,
    ):  # an old kernel, a filter of system calls, no /proc; AttributeError: not Linux
        return Walk()
    return Kernel()


class _How(ctypes.Structure):
    """The argument `struct open_how` of openat2."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def openat2(root: int, path: str, flags: int) -> int:
    """Open what is at a path and below a held folder, by the system call of this name.

    Args:
        root: The descriptor of the folder.
        path: Relative to it.
        flags: As for `os.open`.

    Returns:
        A descriptor.

    Raises:
        OSError: EXDEV if the path, or a link on its way, would leave the folder; else as for `os.open`.
    """
    how = _How(flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    syscall = _libc().syscall
    for _ in range(_TRIES):
        descriptor = syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if descriptor >= 0:
            return int(descriptor)
        if (number := ctypes.get_errno()) not in {errno.EAGAIN, errno.EINTR}:
            break
    raise OSError(number, os.strerror(number))


def _names(root: int, descriptor: int) -> tuple[str, ...]:
    """The names from the root to what a descriptor holds, as the kernel knows them now."""
    above, path = (os.readlink(f"/proc/self/fd/{number}") for number in (root, descriptor))
    if path == above:
        return ()
    below = path.removeprefix("/" if above == "/" else f"{above}/")
    # What was deleted meanwhile has a mark behind its name, which a living name could have, too.
    if below == path or (path.endswith(" (deleted)") and os.fstat(descriptor).st_nlink == 0):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return tuple(below.split("/"))


def _is_link(folder: int, name: str) -> bool:
    try:
        return bool(os.readlink(name, dir_fd=folder))
    except OSError:
        return False
