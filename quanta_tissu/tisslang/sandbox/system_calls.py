"""Calls of Linux that Python does not have, and what they need; used by the helper process.

Only the standard library, and little of it: the helper starts for each command.
"""

from __future__ import annotations

import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)

NO_NEW_PRIVILEGES, SUBREAPER, SECCOMP, DROP_BOUNDING = 38, 36, 22, 24
_FILTER_MODE = 2

NEW_MOUNTS, NEW_USERS = 0x00020000, 0x10000000
READ_ONLY, NO_SET_ID, NO_DEVICES, BIND, RECURSIVE, PRIVATE, REMOUNT = 1, 2, 4, 4096, 1 << 14, 1 << 18, 32
_EMPTY_PATH, _RECURSIVE, _HERE = 0x1000, 0x8000, -100
_ATTR_READ_ONLY, _ATTR_NO_SET_ID, _ATTR_NO_DEVICES, _ATTR_IDMAP = 0x1, 0x2, 0x4, 0x00100000


def call(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """A system call by its number.

    Raises:
        OSError: The kernel refused.
    """
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *given))


def process_control(option: int, *arguments: int) -> None:
    """Change something of this process: prctl(2)."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _checked(_libc.prctl(option, *(ctypes.c_ulong(one) for one in padded)))


def load_filter(program: bytes) -> None:
    """Filter the calls of this process and its children for ever; needs no_new_privs."""
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, of eight bytes each, and where they are
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    address = ctypes.create_string_buffer(header, len(header))
    process_control(SECCOMP, _FILTER_MODE, ctypes.addressof(address))


def unshare(flags: int) -> None:
    """Leave a namespace for a new one."""
    _checked(_libc.unshare(flags))


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Put a file system, or a part of one, somewhere; see the manual, section 2."""
    encoded = (None if one is None else os.fsencode(one) for one in (source, target, kind))
    _checked(_libc.mount(*encoded, ctypes.c_ulong(flags), None if options is None else options.encode()))


def copy_of_mount(path: str) -> int:
    """A descriptor of a mount that shows what is at this path, and that is nowhere yet."""
    return call(428, _HERE, os.fsencode(path), 1 | os.O_CLOEXEC | _RECURSIVE)  # open_tree(OPEN_TREE_CLONE)


def change_mount(mount: int, *, users: int | None = None, read_only: bool = False) -> None:
    """Let no set-id programs and no devices work on a mount; perhaps translate owners, or make it read-only.

    Args:
        mount: From `copy_of_mount`.
        users: A user namespace: whom it calls 0 on the disk is shown as whom it maps 0 to, and back.
        read_only: Whether nothing can be written through it.
    """
    attributes = _ATTR_NO_SET_ID | _ATTR_NO_DEVICES | (_ATTR_READ_ONLY if read_only else 0)
    attributes |= 0 if users is None else _ATTR_IDMAP
    packed = struct.pack("QQQQ", attributes, 0, 0, users or 0)
    call(442, mount, b"", _EMPTY_PATH | _RECURSIVE, ctypes.create_string_buffer(packed, len(packed)), len(packed))


def attach_mount(mount: int, path: str) -> None:
    """Put a mount of `copy_of_mount` where it is to be seen."""
    call(429, mount, b"", _HERE, os.fsencode(path), 4)  # move_mount(MOVE_MOUNT_F_EMPTY_PATH)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
