"""A step that works on its own copy of the project, until what it did is taken over as a whole or thrown away.

The copy is a plain tree (its blocks shared with the project's where the file system can do that), so that it works
for every user, in every container and on every disk, and so that commands in a sandbox and the engine's own file
commands see the same files. What the step did is found by comparing contents, passes a filter
(`commit_filter.py`), and is taken over so that a process killed at any moment has taken over all or nothing
(`commit.py`).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from quanta_tissu.errors import CommitRefusedError, SandboxError
from quanta_tissu.tisslang.sandbox import atomic, manifest, tree
from quanta_tissu.tisslang.sandbox.commit import (
    DONE,
    INTENT,
    NEW,
    OLD,
    UNDO,
    ChangedError,
    Intent,
    Item,
    carry_out,
    stage,
)
from quanta_tissu.tisslang.sandbox.commit_filter import Room, objections
from quanta_tissu.tisslang.sandbox.manifest import Change, Manifest, Scan
from quanta_tissu.tisslang.sandbox.paths import DEFAULT_PROTECTED, JOURNALS, Protection, shown

_TREE = "tree"
_LOCK = "lock"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_REASONS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Settled:
    """How a transaction ended whose process was killed.

    Attributes:
        label: The label it began with.
        committed: Whether the project has all of its changes; else it has none.
        changes: Those changes; empty if it was not committed.
        folder: What is kept of it.
    """

    label: str | None
    committed: bool
    changes: tuple[Change, ...]
    folder: Path

    def forget(self) -> None:
        """Remove what is kept, after it was noted elsewhere."""
        _remove(self.folder)


class Transaction:
    """A step's work on a copy of the project; made with `begin`.

    Used as a context manager, it is discarded at the end unless it was committed.

    Attributes:
        root: The copy, in which the step works.
        label: A name by which `abandoned` tells it from others.
    """

    def __init__(
        self,
        folder: Path,
        project: int,
        copy: int,
        lock: int,
        label: str | None,
        before: Manifest,
        *,
        where: str,
        protection: Protection,
        room: Room,
    ) -> None:
        self.root = folder / _TREE
        self.label = label
        self._folder = folder
        self._project = project
        self._copy = copy  # held, so that a step that moves its copy away gives us nothing else to read
        self._lock = lock
        self._before = before
        self._where = where
        self._protection = protection
        self._room = room
        self._open = True

    @classmethod
    def begin(
        cls,
        root: Path,
        scratch: Path,
        *,
        label: str | None = None,
        room: Room | None = None,
        protected: tuple[str, ...] = DEFAULT_PROTECTED,
    ) -> Transaction:
        """Copy the project.

        Args:
            root: The project.
            scratch: A folder for copies, made if it is missing: in `.tissu` of the project, or outside of it. On
                the project's disk nothing is copied twice.
            label: If given, a commit leaves a note in `scratch` until `forget` is called, so that after a kill
                `abandoned` knows of it, even if the process died after its end.
            room: How large the project, and what changes of it, may be.
            protected: What the step may not change.

        Raises:
            SandboxError: The project is too large, cannot be read, or the disk is full.
        """
        room = room or Room()
        project = _open_project(root)
        try:
            where = _seen_from(scratch, root)
            if excess := room.excess(*manifest.measure(project)):
                raise SandboxError(
                    f"the project {root} cannot be copied for a step: it has {excess}",
                    hint="move out of it what the step does not need, or choose the level bwrap",
                )
            folder, lock = _make(scratch, label)
            try:
                copy, before = _copied(project, folder / _TREE)
            except BaseException:
                os.close(lock)
                _remove(folder)
                raise
        except BaseException:
            os.close(project)
            raise
        return cls(
            folder,
            project,
            copy,
            lock,
            label,
            before,
            where=where,
            protection=Protection(protected),
            room=room,
        )

    def changes(self) -> tuple[Change, ...]:
        """What the step has changed so far, by path.

        Raises:
            SandboxError: The transaction is over, or the copy cannot be read.
        """
        return self._differences(self._scan())

    def commit(self) -> tuple[Change, ...]:
        """Take over what the step did; the transaction is then over.

        Returns:
            What has changed in the project.

        Raises:
            CommitRefusedError: The filter refuses something, or the project has changed where the step has. The
                project is as it was, and the transaction still open.
            SandboxError: The project cannot be written; it is as it was, or will be after `abandoned`.
        """
        scan = self._scan()
        changes = self._differences(scan)
        reasons = objections(changes, self._before, scan, self._protection, self._room)
        if reasons:
            raise _refusal(reasons)
        pairs = manifest.with_closed_folders(self._before, scan.states)
        items = tuple(Item(number, *pair) for number, pair in enumerate(pairs))
        if items:
            intent = Intent(self._where, self.label, undo=False, items=items)
            with _descriptor(self._folder) as folder, _alone(self._project):
                self._prepare(folder, intent)
                _do(self._project, folder, self._folder, intent)
        self._end(kept=bool(items) and self.label is not None)
        return changes

    def discard(self) -> None:
        """Throw away what the step did; nothing happens if the transaction is over."""
        if self._open:
            self._end(kept=False)

    def forget(self) -> None:
        """Remove the note that a commit with a label has left, after it was noted elsewhere."""
        if not self._open:
            _remove(self._folder)

    @staticmethod
    def abandoned(scratch: Path) -> tuple[Settled, ...]:
        """Finish or undo what killed processes left, and remove their copies; transactions of living ones stay.

        Returns:
            How each ended. A commit with a label is told of again until its `forget` is called.

        Raises:
            SandboxError: A commit can neither be finished nor undone.
        """
        if not scratch.is_dir():
            return ()
        with _descriptor(scratch) as held, _alone(held):
            found = (_settle(folder) for folder in sorted(scratch.glob("txn-*")))
            ended = [settled for settled in found if settled is not None]
            return tuple(sorted(ended, key=lambda settled: settled.committed))  # the last word on a label

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _scan(self) -> Scan:
        if not self._open:
            raise SandboxError("the transaction is over: it was committed or discarded", hint="begin another one")
        with _explaining("read"):
            return manifest.scan(self._copy)

    def _differences(self, scan: Scan) -> tuple[Change, ...]:
        return tuple(manifest.described(*pair) for pair in manifest.differences(self._before, scan.states))

    def _prepare(self, folder: int, intent: Intent) -> None:
        """Lay aside what the commit needs, and write down what it will do; or leave nothing of that."""
        try:
            with _explaining("written"):
                if reasons := stage(self._project, self._copy, folder, intent.items):
                    raise _refusal(reasons)
                intent.write(folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(INTENT, dir_fd=folder)  # on the disk perhaps, but nobody has begun with it
            for name in (NEW, OLD):
                tree.remove(folder, name)
            raise

    def _end(self, *, kept: bool) -> None:
        self._open = False
        # What cannot be removed now changes nothing of what was done; `abandoned` removes it.
        with suppress(OSError):
            if _unfinished(self._folder):
                pass  # neither finished nor undone: `abandoned` tries again
            elif kept:
                _keep_note(self._folder)
            else:
                _remove(self._folder)
        for descriptor in (self._project, self._copy, self._lock):
            os.close(descriptor)


def _copied(project: int, path: Path) -> tuple[int, Manifest]:
    """The descriptor of a new copy of the project, and what it holds."""
    with _explaining("copied for a step"):
        path.mkdir(mode=0o700)
        copy = os.open(path, _FOLDER)
        try:
            return copy, manifest.copy(project, copy)
        except BaseException:
            os.close(copy)
            raise


def _do(project: int, folder: int, path: Path, intent: Intent) -> None:
    """Do what is intended, else undo it; then say that it is over by removing or renaming the intent."""
    undone: BaseException | None = None
    try:
        try:
            carry_out(project, folder, path.name, intent)
        except BaseException as error:
            if intent.undo:
                raise
            undone = error
            intent = replace(intent, undo=True)
            os.rename(INTENT, UNDO, src_dir_fd=folder, dst_dir_fd=folder)
            atomic.synchronise(folder)
            carry_out(project, folder, path.name, intent)
        if intent.undo:
            os.unlink(UNDO, dir_fd=folder)
        else:
            os.rename(INTENT, DONE, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        raise SandboxError(
            f"a commit can neither be finished nor undone ({error.strerror}); what is missing lies in {path}",
            hint="mend that (a full disk, permissions) and resume the run: it will be finished or undone first",
        ) from error
    if undone is None:
        return
    with suppress(OSError):  # of no use any more; `abandoned` removes them, too
        for name in (NEW, OLD):
            tree.remove(folder, name)
    if isinstance(undone, ChangedError):
        raise _refusal([str(undone)]) from undone
    if isinstance(undone, OSError):
        raise _refusal([f"the project cannot be written: {undone.strerror}"]) from undone
    raise undone


def _settle(path: Path) -> Settled | None:
    """End one transaction of a killed process; None if its process lives."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # killed while it was made or removed
        _remove(path)
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        label = json.loads(os.read(lock, 2**16) or b"null")
        if (unfinished := _unfinished(path)) is not None:
            _recover(path, Intent.read(unfinished))
        if not (path / DONE).exists():
            _remove(path)
            return Settled(label, committed=False, changes=(), folder=path)
        changes = Intent.read(path / DONE).changes()
        if label is None:
            _remove(path)
        else:
            _keep_note(path)
        return Settled(label, committed=True, changes=changes, folder=path)
    except BlockingIOError:
        return None
    finally:
        os.close(lock)


def _unfinished(path: Path) -> Path | None:
    """The intent of a commit that was begun and not ended."""
    return next((path / name for name in (INTENT, UNDO) if (path / name).exists()), None)


def _recover(path: Path, intent: Intent) -> None:
    with _descriptor(path) as folder:
        project = _open_project(path / intent.root)
        try:
            with _alone(project), suppress(CommitRefusedError):
                _do(project, folder, path, intent)
        finally:
            os.close(project)


def _make(scratch: Path, label: str | None) -> tuple[Path, int]:
    """A folder of its own for a transaction, locked as long as its process lives."""
    with _explaining("begun"):
        scratch.mkdir(parents=True, exist_ok=True)
        with _descriptor(scratch) as held, _alone(held):
            folder = scratch / f"txn-{secrets.token_hex(8)}"
            # Commands may run as another user, who has to get through to the copy, but is to list nothing here.
            folder.mkdir(mode=0o711)
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.write(lock, json.dumps(label).encode())
            return folder, lock


def _seen_from(scratch: Path, root: Path) -> str:
    """The project's path from the folder of a transaction: relative if that moves with it."""
    project, inside = root.resolve(), scratch.resolve()
    if not inside.is_relative_to(project):
        return str(project)
    if JOURNALS not in inside.relative_to(project).parts:
        raise SandboxError(
            f"copies of the project {root} cannot be kept in {scratch}, which would be copied, too",
            hint=f"keep them in {root / JOURNALS}, or outside the project",
        )
    return os.path.relpath(project, inside / "txn")


def _keep_note(path: Path) -> None:
    for name in (_TREE, NEW, OLD):
        with _descriptor(path) as folder:
            tree.remove(folder, name)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError), _descriptor(path.parent) as above:
        tree.remove(above, path.name)


def _refusal(reasons: list[str]) -> CommitRefusedError:
    lines = [f"\n  - {reason}" for reason in reasons[:_REASONS_SHOWN]]
    if more := len(reasons) - len(lines):
        lines.append(f"\n  - and {more:,} more")
    return CommitRefusedError(
        f"what the step did is not taken over into the project:{''.join(lines)}",
        hint="the project is as it was; let the step leave these alone, or do them by hand",
    )


def _open_project(root: Path) -> int:
    try:
        return os.open(root, _FOLDER)
    except OSError as error:
        raise SandboxError(
            f"the project {root} cannot be opened ({error.strerror})", hint="name a folder that can be read"
        ) from error


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    descriptor = os.open(path, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _alone(folder: int) -> Iterator[None]:
    """Let only one commit at a time work on a project, and only one process on a folder of copies."""
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    """Say in words that the disk fails."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        where = f" at {shown(str(error.filename))}" if error.filename else ""
        raise SandboxError(
            f"the project cannot be {what}{where}: {'the disk is full' if full else error.strerror}",
            hint="it is as it was; " + ("free some space" if full else "check the disk and the permissions"),
        ) from error
