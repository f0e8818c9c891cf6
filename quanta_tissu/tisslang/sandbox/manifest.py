"""What a tree holds, file by file: how a step gets its copy of the project, and how what it did is found.

A manifest maps paths to states. Contents are compared by digest, never by time, so that nothing that a command
does to a clock or to a file's times can hide a change.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Literal, NamedTuple

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import atomic
from quanta_tissu.tisslang.sandbox.paths import JOURNALS, shown
from quanta_tissu.tisslang.sandbox.tree import Entry, copy_content, hashed, open_folder, open_regular, walk

DIRECTORY = "directory"
SYMLINK = "symlink:"
OTHER = "other"
_TRIES = 3
_WORKABLE = 0o300  # a folder's owner may change names in it


class State(NamedTuple):
    """What is at a path.

    Attributes:
        what: The digest of a file's content ("sha256:…"), "symlink:" and where a link leads, "directory", or
            "other" for devices, pipes and sockets, which are never copied.
        mode: The permissions, without setuid, setgid and sticky; 0 for a link, which has none.
    """

    what: str
    mode: int

    @property
    def is_directory(self) -> bool:
        """Whether it is a folder."""
        return self.what == DIRECTORY

    @property
    def target(self) -> str | None:
        """Where a link leads; None for what is no link."""
        return self.what.removeprefix(SYMLINK) if self.what.startswith(SYMLINK) else None


Manifest = dict[str, State]


@dataclass(frozen=True, slots=True)
class Change:
    """One path that a step has changed.

    Attributes:
        kind: "A" added, "M" modified (content, permissions, or what it is), "D" deleted.
        path: From the project.
        before: What it was: a digest, "symlink:…" or "directory"; None if it was not there.
        after: What it is; None if it is gone.
        mode_before: The permissions it had.
        mode_after: The permissions it has.
    """

    kind: Literal["A", "M", "D"]
    path: str
    before: str | None
    after: str | None
    mode_before: int | None = None
    mode_after: int | None = None


@dataclass(slots=True)
class Scan:
    """A tree that a command may have made.

    Attributes:
        states: What it holds and can be compared.
        sizes: Bytes of each file.
        problems: What stands against taking it over, whatever else the step did.
    """

    states: Manifest = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def measure(root: int) -> tuple[int, int]:
    """How many things a project holds that would be copied, and the bytes of its files."""
    count = size = 0
    for entry in walk(root, leave_out=frozenset({JOURNALS})):
        count += 1
        size += entry.stat.st_size if stat.S_ISREG(entry.stat.st_mode) else 0
    return count, size


def copy(source: int, target: int) -> Manifest:
    """Copy a project: files, folders and links, with permissions, times and, where that is allowed, owners.

    Left out are `.tissu`, devices, pipes and sockets, what may not be read, and the bits that let a program run as
    its owner. What had several names (hard links) becomes several files; no file of the copy is one of the
    project.

    Args:
        source: The project's descriptor, open for reading.
        target: An empty folder's.

    Returns:
        What the copy holds.

    Raises:
        SandboxError: A file is being written all the time.
        OSError: The disk is full, for example.
    """
    states: Manifest = {}
    way = [("", os.dup(target), os.fstat(source))]

    def leave() -> None:
        # A folder gets its times and permissions when nothing more is put into it.
        _, descriptor, old = way.pop()
        try:
            _take_after(descriptor, old)
        finally:
            os.close(descriptor)

    try:
        for entry in walk(source, leave_out=frozenset({JOURNALS})):
            above = entry.path.rpartition("/")[0]
            while way[-1][0] != above:
                leave()
            folder = way[-1][1]
            mode = entry.stat.st_mode
            if stat.S_ISDIR(mode):
                os.mkdir(entry.name, 0o700, dir_fd=folder)
                way.append((entry.path, open_folder(folder, entry.name), entry.stat))
                states[entry.path] = State(DIRECTORY, mode & atomic.PERMISSIONS)
            elif stat.S_ISLNK(mode):
                link = os.readlink(entry.name, dir_fd=entry.folder)
                os.symlink(link, entry.name, dir_fd=folder)
                states[entry.path] = State(SYMLINK + link, 0)
            elif stat.S_ISREG(mode):
                with suppress(FileNotFoundError, PermissionError):
                    states[entry.path] = _copy_file(entry, folder)
        while way:
            leave()
    finally:
        for _, descriptor, _ in way:
            os.close(descriptor)
    return states


def _copy_file(entry: Entry, folder: int) -> State:
    for _ in range(_TRIES):
        source = open_regular(entry.folder, entry.name)
        try:
            old = os.fstat(source)
            target = os.open(entry.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
            try:
                digest = copy_content(source, target)
                _take_after(target, old)
            finally:
                os.close(target)
            if _version(os.fstat(source)) == _version(old):
                return State(digest, old.st_mode & atomic.PERMISSIONS)
        finally:
            os.close(source)
        os.unlink(entry.name, dir_fd=folder)
    raise SandboxError(
        f"{shown(entry.path)} is being written all the time, so that a step cannot have a copy of it",
        hint="end what writes it, or keep it outside the project",
    )


def _version(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _take_after(descriptor: int, old: os.stat_result) -> None:
    atomic.keep(descriptor, old)
    os.utime(descriptor, ns=(old.st_atime_ns, old.st_mtime_ns))


def scan(root: int) -> Scan:
    """Read a tree after a command has worked on it.

    Raises:
        SandboxError: Folders are nested too deeply.
    """
    scanned = Scan()
    unreadable: list[str] = []
    links: dict[tuple[int, int], tuple[int, int, str]] = {}
    for entry in walk(root, unreadable=unreadable):
        path, found = entry.path, entry.stat
        if stat.S_ISREG(found.st_mode):
            seen, *_ = links.get((found.st_dev, found.st_ino), (0, 0, ""))
            links[found.st_dev, found.st_ino] = seen + 1, found.st_nlink, path
        try:
            state = state_of(entry.folder, entry.name)
        except PermissionError:
            unreadable.append(path)
            continue
        if state is None:
            continue
        if state.what == OTHER:
            scanned.problems.append(f"{shown(path)} is no file, folder or link, but a device, a pipe or a socket")
            continue
        if stat.S_ISREG(found.st_mode) and found.st_mode & (stat.S_ISUID | stat.S_ISGID):
            scanned.problems.append(f"{shown(path)} would run as its owner or group (setuid, setgid)")
        scanned.states[path] = state
        scanned.sizes[path] = found.st_size
    scanned.problems.extend(f"{shown(path)} may not be read" for path in unreadable)
    scanned.problems.extend(
        f"{shown(path)} is another name (a hard link) for a file outside the step's copy"
        for seen, names, path in links.values()
        if names > seen
    )
    return scanned


def state_of(folder: int, name: str) -> State | None:
    """What is at a name in a held folder; None if nothing is.

    Raises:
        OSError: It may not be read, or changes its kind at this moment.
    """
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            return State(DIRECTORY, found.st_mode & atomic.PERMISSIONS)
        if stat.S_ISLNK(found.st_mode):
            return State(SYMLINK + os.readlink(name, dir_fd=folder), 0)
        if stat.S_ISREG(found.st_mode):
            with opened(folder, name) as file:
                return State(hashed(file), found.st_mode & atomic.PERMISSIONS)
    except FileNotFoundError:
        return None
    return State(OTHER, 0)


def opened(folder: int, name: str) -> BufferedReader:
    """A regular file in a held folder, for reading; errors as of `tree.open_regular`."""
    return open(open_regular(folder, name), "rb")


def differences(
    before: Mapping[str, State], after: Mapping[str, State]
) -> Iterator[tuple[str, State | None, State | None]]:
    """The paths at which two manifests differ, in order, with what each has there."""
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            yield path, old, new


def with_closed_folders(
    before: Mapping[str, State], after: Mapping[str, State]
) -> Iterator[tuple[str, State | None, State | None]]:
    """As `differences`, with folders that stay but must be opened to their owner for it, and closed again."""
    changed = {path: (old, new) for path, old, new in differences(before, after)}
    for folder in {path.rpartition("/")[0] for path in changed} - changed.keys():
        state = before.get(folder)
        if state is not None and state.mode & _WORKABLE != _WORKABLE:
            changed[folder] = state, state
    for path in sorted(changed):
        yield path, *changed[path]


def described(path: str, old: State | None, new: State | None) -> Change:
    """A difference as it is told to others."""
    return Change(
        "A" if old is None else "D" if new is None else "M",
        path,
        old and old.what,
        new and new.what,
        old and old.mode,
        new and new.mode,
    )
