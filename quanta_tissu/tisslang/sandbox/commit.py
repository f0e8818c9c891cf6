"""Taking changes over into a project so that a process killed at any moment has done all of them or none.

What is to be done is written down first, then done:

    1. new/N, old/N   what every change has after and before, on the disk     killed here: nothing has happened
    2. intent.json    which paths, from which state to which; renamed into place    killed here: all will be done
    3. the project    every change: a rename, an unlink, a mkdir or an rmdir
    4. intent.json    renamed to done.json, or removed, for whoever has to know

Whoever comes after a kill reads the intent and does 3 again: what has its new state already is left as it is. If
that is impossible (the disk is full, somebody has changed a file in between), the intent is renamed to undo.json,
and everything goes back to what it was; none of that needs room on the disk. What somebody else has changed is
never overwritten, in either direction.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import atomic, beneath
from quanta_tissu.tisslang.sandbox.manifest import Change, State, described, opened, state_of
from quanta_tissu.tisslang.sandbox.paths import shown
from quanta_tissu.tisslang.sandbox.tree import accessible, copy_content, open_folder, open_regular

INTENT = "intent.json"
UNDO = "undo.json"
DONE = "done.json"
NEW = "new"
OLD = "old"
_VERSION = 1
_MANY = 100  # files, from which on it is quicker to bring everything to the disk at once
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR}
_ANOTHER_KIND = {errno.ELOOP, errno.EINVAL, errno.EACCES}
_WALK = beneath.Walk()  # paths of manifests have no links in them


class ChangedError(Exception):
    """A path of the project is in a state that nobody here has made; its message is the reason."""


@dataclass(frozen=True, slots=True)
class Item:
    """A path that changes.

    Attributes:
        number: The name of its content in `new` and `old`.
        path: From the project.
        before: Its state so far; None if it is not there.
        after: Its state to come.
    """

    number: int
    path: str
    before: State | None
    after: State | None

    @property
    def turns(self) -> bool:
        """Whether a folder becomes something else, or something else a folder: what was must go first."""
        if self.before is None or self.after is None:
            return False
        return self.before.is_directory != self.after.is_directory


@dataclass(frozen=True, slots=True)
class Intent:
    """What is to be done.

    Attributes:
        root: The project, as seen from the folder of the transaction if it lies around it, else absolute.
        label: Who wants it.
        undo: Whether it is to be taken back.
        items: The changes, by path.
    """

    root: str
    label: str | None
    undo: bool
    items: tuple[Item, ...]

    def changes(self) -> tuple[Change, ...]:
        """The same as it is told to others."""
        items = (item for item in self.items if item.before != item.after)
        return tuple(described(item.path, item.before, item.after) for item in items)

    def write(self, folder: int) -> None:
        """Bring it to the disk; from then on it will be done."""
        data = json.dumps(
            {
                "version": _VERSION,
                "root": self.root,
                "label": self.label,
                "items": [[item.path, item.before, item.after] for item in self.items],
            }
        )
        atomic.replace(folder, INTENT, data.encode(), None)

    @staticmethod
    def read(path: Path) -> Intent:
        """What was written.

        Raises:
            SandboxError: It is of another version, or not what was written.
        """

        def state(value: Any) -> State | None:
            return None if value is None else State(str(value[0]), int(value[1]))

        try:
            data = json.loads(path.read_bytes())
            if data["version"] != _VERSION:
                raise ValueError(f"version {data['version']}")
            items = (Item(n, p, state(b), state(a)) for n, (p, b, a) in enumerate(data["items"]))
            return Intent(data["root"], data["label"], path.name == UNDO, tuple(items))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise SandboxError(
                f"{path} is not what a killed run left ({error})",
                hint="open the project with the version that wrote it, or compare by hand what lies beside it",
            ) from error


def stage(root: int, tree: int, folder: int, items: Sequence[Item]) -> list[str]:
    """Lay the content after and before of every change aside, on the disk.

    Args:
        root: The project.
        tree: The step's copy of it.
        folder: The transaction's own folder.
        items: The changes.

    Returns:
        Every path that is no longer what it was, and why that matters; if there is one, nothing may be done.

    Raises:
        OSError: The disk is full, for example.
    """
    found = []
    changing = {item.path for item in items}
    for name, origin, where in ((OLD, root, "the project"), (NEW, tree, "the step's copy")):
        os.mkdir(name, 0o700, dir_fd=folder)
        with _held(folder, name) as aside:
            for item in items:
                state = item.before if name == OLD else item.after
                link_above = _is_below(item.path, changing)  # where a link becomes a folder, or a folder a link
                if not _lay_aside(origin, item.path, state, aside, str(item.number), link_above=link_above):
                    found.append(f"{shown(item.path)} was changed in {where} meanwhile")
    found.extend(_strangers(root, items))
    if not found:
        with _held(folder, OLD) as old, _held(folder, NEW) as new:
            _keep_owners(old, new)
            _persist(old, new)
        atomic.synchronise(folder)
    return found


def _lay_aside(origin: int, path: str, state: State | None, aside: int, number: str, *, link_above: bool) -> bool:
    """Copy what is at a path; whether it is what it should be."""
    try:
        with _parent(origin, path) as (parent, name):
            if state is None or state.is_directory:
                return _same(state_of(parent, name), state)
            if state.target is not None:
                os.symlink(state.target, number, dir_fd=aside)
                return state_of(parent, name) == state
            with opened(parent, name) as file:
                now = os.fstat(file.fileno())
                copied = os.open(number, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=aside)
                try:
                    digest = copy_content(file.fileno(), copied)
                    atomic.keep(copied, now)
                    os.utime(copied, ns=(now.st_atime_ns, now.st_mtime_ns))
                finally:
                    os.close(copied)
            return State(digest, now.st_mode & atomic.PERMISSIONS) == state
    except OSError as error:
        if error.errno in _NOT_THERE or (error.errno == errno.ELOOP and link_above):
            return state is None
        if error.errno in _ANOTHER_KIND:
            return False
        raise


def _strangers(root: int, items: Sequence[Item]) -> Iterator[str]:
    """What is in folders that are to go, and was not in the step's copy: made meanwhile, a pipe, a journal."""
    known = {item.path for item in items}
    for item in items:
        if item.before is None or not item.before.is_directory or (item.after is not None and not item.turns):
            continue
        with suppress(OSError), _parent(root, item.path) as (parent, name):  # what is not there was noticed before
            folder = open_folder(parent, name)
            try:
                for inner in sorted(os.listdir(folder)):
                    if f"{item.path}/{inner}" not in known:
                        yield f"{shown(item.path)} is to go, and holds {shown(inner)}, which the step has not seen"
            finally:
                os.close(folder)


def _keep_owners(old: int, new: int) -> None:
    """Let every new version belong to the owner of the old one, or to who runs this."""
    for number in os.listdir(new):
        try:
            found = os.stat(number, dir_fd=old, follow_symlinks=False)
            owner = found.st_uid, found.st_gid
        except FileNotFoundError:
            owner = os.geteuid(), os.getegid()
        now = os.stat(number, dir_fd=new, follow_symlinks=False)
        if (now.st_uid, now.st_gid) != owner:
            mode = now.st_mode & atomic.PERMISSIONS
            with suppress(PermissionError):
                os.chown(number, *owner, dir_fd=new, follow_symlinks=False)
                if not stat.S_ISLNK(now.st_mode):
                    os.chmod(number, mode, dir_fd=new)


def _persist(*folders: int) -> None:
    """Bring the files in folders to the disk; where they are many, with everything else at once."""
    names = [(folder, name) for folder in folders for name in os.listdir(folder)]
    if len(names) > _MANY:
        os.sync()
        return
    for folder, name in names:
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):  # a link has no content
            descriptor = open_regular(folder, name)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    for folder in folders:
        atomic.synchronise(folder)


def carry_out(root: int, folder: int, mark: str, intent: Intent) -> None:
    """Do what is intended, or what of it is left to do, and bring it to the disk.

    To undo asks of nothing that it be as it should: what somebody else has changed stays as it is.

    Args:
        root: The project.
        folder: The transaction's own folder.
        mark: A name that no other transaction has.
        intent: What to do.

    Raises:
        ChangedError: Somebody has changed a path meanwhile.
        OSError: No permission, a full disk ...
    """
    items = intent.items
    if intent.undo:
        items = tuple(replace(item, before=item.after, after=item.before) for item in items)
    turning = {item.path for item in items if item.turns}
    first = [item for item in items if item.turns or (item.after is None and _is_below(item.path, turning))]
    last = [item for item in items if item.after is None and not _is_below(item.path, turning)]
    with _held(folder, OLD if intent.undo else NEW) as aside:
        doing = _Doing(root, aside, mark, intent.undo, {item.path for item in items})
        for item in items:
            doing.open_up(item)
        for item in reversed(first):  # what is in a folder before the folder
            doing.remove(item)
        for item in items:
            doing.make(item)
        for item in items:
            doing.put(item)
        for item in reversed(last):
            doing.remove(item)
        for item in reversed(items):
            doing.close_down(item)
        doing.synchronise()


@dataclass(frozen=True, slots=True)
class _Doing:
    """Single changes. Each may have been made before, by a process that was killed, and is then left alone."""

    root: int
    aside: int
    mark: str
    lenient: bool
    changing: set[str]
    touched: set[str] = field(default_factory=set)

    def open_up(self, item: Item) -> None:
        """Let its owner work in a folder that changes or goes."""
        if item.before is None or not item.before.is_directory:
            return
        with self._place(item) as (parent, name), suppress(FileNotFoundError, NotADirectoryError):
            if parent is not None:
                os.close(accessible(parent, name))

    def remove(self, item: Item) -> None:
        """Take away what goes, or has to make room."""
        with self._place(item) as (parent, name):
            if parent is None or not self._is_due(item, state_of(parent, name), item.before, None, item.after):
                return
            if item.before is not None and item.before.is_directory:
                try:
                    os.rmdir(name, dir_fd=parent)
                except OSError as error:
                    self._strange(item, error)
            else:
                os.unlink(name, dir_fd=parent)
            self.touched.add(item.path)

    def make(self, item: Item) -> None:
        """Make a folder."""
        if item.after is None or not item.after.is_directory:
            return
        with self._place(item) as (parent, name):
            if parent is None:
                self._strange(item, None)
            elif self._is_due(item, state_of(parent, name), None, item.after):
                os.mkdir(name, 0o700, dir_fd=parent)
                self.touched.add(item.path)

    def put(self, item: Item) -> None:
        """Move a file or a link to its place."""
        if item.after is None or item.after.is_directory:
            return
        with self._place(item) as (parent, name):
            if parent is None:
                self._strange(item, None)
                return
            temporary = f".{self.mark}.{item.number}.new"
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=parent)  # of a process that was killed in the lines below
            if not self._is_due(item, state_of(parent, name), None if item.turns else item.before, item.after):
                return
            try:
                os.rename(str(item.number), name, src_dir_fd=self.aside, dst_dir_fd=parent)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _copy_across(self.aside, str(item.number), parent, temporary)
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            self.touched.add(item.path)

    def close_down(self, item: Item) -> None:
        """Give a folder its permissions, now that nothing more is done in it."""
        if item.after is None or not item.after.is_directory:
            return
        with self._place(item) as (parent, name), suppress(FileNotFoundError, NotADirectoryError):
            if parent is None:
                return
            folder = open_folder(parent, name)
            try:
                # A folder may hand its group down (setgid); that is the project's own business.
                os.fchmod(folder, os.fstat(folder).st_mode & 0o7000 | item.after.mode)
            finally:
                os.close(folder)
            self.touched.add(item.path)

    def synchronise(self) -> None:
        """Bring the names that have changed to the disk."""
        folders = {path.rpartition("/")[0]: path for path in self.touched}
        for path in folders.values():
            try:
                with _parent(self.root, path) as (parent, _):
                    atomic.synchronise(parent)
            except OSError as error:
                if error.errno not in {*_NOT_THERE, errno.ELOOP}:  # a folder that has gone, too, needs nothing
                    raise

    @contextmanager
    def _place(self, item: Item) -> Iterator[tuple[int | None, str]]:
        """The folder that holds a path; None if there is none, because it is gone or not yet made."""
        *above, name = item.path.split("/")
        try:
            folder: int | None = _WALK.folder(self.root, tuple(above)).descriptor
        except OSError as error:
            if error.errno not in {*_NOT_THERE, errno.ELOOP}:
                raise
            if error.errno == errno.ELOOP and not _is_below(item.path, self.changing):
                self._strange(item, error)
            folder = None
        try:
            yield folder, name
        finally:
            if folder is not None:
                os.close(folder)

    def _is_due(self, item: Item, now: State | None, due: State | None, *done: State | None) -> bool:
        """Whether a change is still to be made, by what is there now."""
        if any(_same(now, state) for state in done):
            return False
        if _same(now, due):
            return True
        self._strange(item, None)
        return False

    def _strange(self, item: Item, error: OSError | None) -> None:
        if not self.lenient:
            raise ChangedError(f"{shown(item.path)} was changed in the project meanwhile") from error


def _copy_across(source: int, number: str, folder: int, name: str) -> None:
    """Copy a file or a link to another file system."""
    found = os.stat(number, dir_fd=source, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(number, dir_fd=source), name, dir_fd=folder)
        return
    with opened(source, number) as file:
        target = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            copy_content(file.fileno(), target)
            atomic.keep(target, found)
            os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
            os.fsync(target)
        finally:
            os.close(target)


def _same(one: State | None, other: State | None) -> bool:
    """Whether two states are the same to a commit, which sets the permissions of folders at its end."""
    if one is None or other is None:
        return one is other
    return one == other or (one.is_directory and other.is_directory)


def _is_below(path: str, folders: set[str]) -> bool:
    return any(above.as_posix() in folders for above in PurePosixPath(path).parents)


@contextmanager
def _held(folder: int, name: str) -> Iterator[int]:
    descriptor = open_folder(folder, name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _parent(root: int, path: str) -> Iterator[tuple[int, str]]:
    """The folder that holds a path, found without following a link, and the name in it."""
    *above, name = path.split("/")
    held = _WALK.folder(root, tuple(above))
    try:
        yield held.descriptor, name
    finally:
        os.close(held.descriptor)
