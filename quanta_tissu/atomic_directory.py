"""Replacing a directory so that at every moment, even under SIGKILL, a complete one can be read.

The new content is written into a hidden sibling and reaches the disk (fsync) before anything else changes:

    1. write  .best.partial-<pid>/           killed here: best/ is the old one
    2. rename best/ → .best.previous/        killed here: best/ is missing, `.best.previous/` is complete
    3. rename .best.partial-<pid>/ → best/   killed here: best/ is the new one
    4. delete .best.previous/

`locate` finds the complete directory in every one of these states, and the next `replacing` clears what a killed
process left behind.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from quanta_tissu.errors import TissuError


@dataclass(frozen=True)
class DirectoryKind:
    """What directories of one kind are called in errors, and how to know one.

    Attributes:
        noun: Its name without an article, "checkpoint" for example.
        error: The class of the errors raised about it.
        is_one: Whether an existing, non-empty directory is of this kind and may be replaced; anything else in the
            way is refused, so that a mistyped path never deletes a folder of the user's.
    """

    noun: str
    error: type[TissuError]
    is_one: Callable[[Path], bool]


@contextmanager
def replacing(directory: Path, kind: DirectoryKind) -> Iterator[Path]:
    """Fill a new directory that takes the place of `directory` when the block ends without an exception.

    Args:
        directory: What to create or replace, as a whole.
        kind: What it is.

    Yields:
        The empty directory to fill.

    Raises:
        TissuError: The disk is full, permissions are missing, or something else is in the way; of the kind's
            class. `directory` is then what it was before.
    """
    directory = Path(os.path.abspath(directory))
    previous, partial = _previous(directory), directory.with_name(f".{directory.name}.partial-{os.getpid()}")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _recover(directory)
        refuse_strangers(directory, kind)
        partial.mkdir()
        try:
            yield partial
            _synchronise(partial)
            replaced = directory.exists()
            if replaced:
                directory.rename(previous)
            try:
                partial.rename(directory)
            except BaseException:
                if replaced:
                    previous.rename(directory)
                raise
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _synchronise_directory(directory.parent)
    except OSError as error:
        raise _explained(directory, kind, error) from error
    # The new one is complete and in place: whatever remains of the old one can also go at the next write.
    shutil.rmtree(previous, ignore_errors=True)


def locate(directory: Path, kind: DirectoryKind) -> Path:
    """Where the complete directory is: `directory`, or what a killed replacement had moved aside.

    Raises:
        TissuError: There is neither; of the kind's class.
    """
    if (found := find(directory)) is not None:
        return found
    what = f"is a file, not a {kind.noun} directory" if directory.exists() else "does not exist"
    raise kind.error(f"the {kind.noun} {directory} {what}", hint=_nearby(directory))


def find(directory: Path) -> Path | None:
    """As `locate`, but None if there is neither."""
    # The second look at `directory` is for a replacement that ends between the first two looks.
    candidates = (directory, _previous(Path(os.path.abspath(directory))), directory)
    return next((candidate for candidate in candidates if candidate.is_dir()), None)


def refuse_strangers(directory: Path, kind: DirectoryKind) -> None:
    """Say early what `replacing` would refuse.

    Raises:
        TissuError: Something is in the way that is not of this kind; of the kind's class.
    """
    if not directory.exists() and not directory.is_symlink():
        return
    if not directory.is_dir():
        raise kind.error(
            f"{directory} is a file; a {kind.noun} is a directory, so it cannot be written there",
            hint="choose another path",
        )
    if any(directory.iterdir()) and not kind.is_one(directory):
        raise kind.error(
            f"{directory} exists and is not a {kind.noun}; it will not be replaced",
            hint=f"choose a path that does not exist yet, {directory / kind.noun.split()[-1]} for example",
        )


def _previous(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.previous")


def _recover(directory: Path) -> None:
    """Finish or undo what a killed process left behind; the partial directories of living ones stay."""
    previous = _previous(directory)
    if previous.is_dir() and not directory.exists():
        previous.rename(directory)
    elif previous.is_dir():
        shutil.rmtree(previous)
    for leftover in directory.parent.glob(f".{directory.name}.partial-*"):
        pid = leftover.name.rpartition("-")[2]
        if pid.isdigit() and (int(pid) == os.getpid() or not _alive(int(pid))):
            shutil.rmtree(leftover)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _synchronise(directory: Path) -> None:
    """Make sure that every file below `directory`, and the directory itself, have reached the disk."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            # Opened for writing because Windows refuses to flush a read-only handle.
            descriptor = os.open(path, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        else:
            _synchronise_directory(path)
    _synchronise_directory(directory)


def _synchronise_directory(directory: Path) -> None:
    if os.name != "posix":  # Windows neither needs nor allows it
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(directory: Path, kind: DirectoryKind, error: OSError) -> TissuError:
    kept = "what was saved before is untouched"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return kind.error(
            f"the disk is full: {directory} could not be written; {kept}",
            hint="free some space, or choose a directory on another disk",
        )
    return kind.error(
        f"{directory} could not be written ({error.strerror or error}); {kept}",
        hint="check the path and its permissions",
    )


def _nearby(directory: Path) -> str:
    """Directories beside a path that is none, for the error's hint."""
    parent = directory.parent
    names = sorted(p.name for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
    close = get_close_matches(directory.name, names, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(str(parent / name) for name in close)}?" if close else "check the path"
