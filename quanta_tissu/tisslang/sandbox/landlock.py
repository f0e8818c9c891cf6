"""Landlock: which files a process and its children may touch, decided by the kernel; needs no rights to set up.

What it does not cover, and what covers it here: UDP, Unix sockets by path and all other sockets (seccomp); reading
names and attributes of files (nothing); changing mode and times of files that belong to the same user (nothing;
that is why a command of root's runs under another user).

Source: Linux, Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from quanta_tissu.tisslang.sandbox import system_calls

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1

# The version from which on signals and abstract Unix sockets are kept in (Linux 6.12); below, a command could end
# the engine, so that the level `landlock` would not be what it says.
NEEDED_ABI = 6

EXECUTE, WRITE, READ, LIST, REMOVE_FOLDER, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHARACTERS, MAKE_FOLDER, MAKE_FILE, MAKE_SOCKET, MAKE_FIFO, MAKE_BLOCKS = (1 << bit for bit in range(6, 12))
MAKE_LINK, REFER, TRUNCATE, CONTROL_DEVICE = (1 << bit for bit in range(12, 16))
_ALL_FILES = (1 << 16) - 1
_TCP, _SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals

USE = EXECUTE | READ | LIST
CHANGE = _ALL_FILES & ~(MAKE_CHARACTERS | MAKE_BLOCKS | CONTROL_DEVICE)
DEVICE = READ | WRITE | TRUNCATE | CONTROL_DEVICE
_OF_FILES = EXECUTE | READ | WRITE | TRUNCATE | CONTROL_DEVICE


def abi() -> int:
    """The version of Landlock that this kernel offers; 0: none."""
    try:
        return system_calls.call(_CREATE, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(rules: list[tuple[str, int]], *, network: bool) -> None:
    """Keep this process and its children to these files for ever; needs no_new_privs.

    Args:
        rules: Paths, each with what may be done at it and below it; those that are not there are left out.
        network: Whether connections of TCP may be made; other sockets are seccomp's.

    Raises:
        OSError: The kernel refused.
    """
    attributes = struct.pack("QQQ", _ALL_FILES, 0 if network else _TCP, _SCOPES)
    ruleset = system_calls.call(
        _CREATE, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes), 0
    )
    try:
        for path, rights in rules:
            _add(ruleset, path, rights)
        system_calls.call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _add(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, place)
        system_calls.call(_ADD, ruleset, _PATH_BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0)
    finally:
        os.close(place)
