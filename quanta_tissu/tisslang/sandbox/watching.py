"""What is protected in a project, as it was before commands ran: for levels that cannot keep them from all of it.

Landlock cannot take a part out of a folder that it grants, and nothing can be mounted over what is not there. What
was there is given to each command's helper, which compares it and puts it back (`guard.py`). Commands that run at
the same time get the same: what one of them has done must not be taken for what was there before the other.

Journals change while their runs go on, also those of other processes. Those on which nobody works must not.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import guard, layout
from quanta_tissu.tisslang.sandbox.guard import Content
from quanta_tissu.tisslang.sandbox.paths import JOURNALS
from quanta_tissu.tisslang.sandbox.policy import Level

RULES = f"{JOURNALS}/rules.toml"

_State = tuple[int, ...] | None


@dataclass
class _Watched:
    """A project in which commands run.

    Attributes:
        kept: What was there before the first of them.
        journals: The journals on which nobody worked then, and their anchors, with their states.
        commands: How many run now.
    """

    kept: dict[str, Content]
    journals: dict[Path, _State]
    commands: int = 0


_lock = threading.Lock()
_watched: dict[tuple[str, Level], _Watched] = {}


@contextmanager
def watched(project: str, level: Level, reader: int) -> Iterator[dict[str, Content]]:
    """Watch over a project while a command runs in it.

    Args:
        project: The real path of its folder.
        level: How the command is kept in.
        reader: The user whose files it can read, as it stands on the disk.

    Yields:
        What its helper has to put back.

    Raises:
        SandboxError: Too much is protected to be kept in memory; or, when this ends, a journal on which nobody
            worked was changed meanwhile.
    """
    if level not in (Level.LANDLOCK, Level.BWRAP):  # at `none` nothing is stopped; at `txn` it works on a copy
        yield {}
        return
    key = (project, level)
    with _lock:
        if key not in _watched:
            _watched[key] = _Watched(_kept(project, level, reader), _journals(project, level))
        here = _watched[key]
        here.commands += 1
    try:
        yield here.kept
    finally:
        with _lock:
            here.commands -= 1
            if not here.commands:
                del _watched[key]
    changed = [
        path for path, state in here.journals.items() if _state(path) != state and not _is_held(_lock_of(path))
    ]
    if changed:
        names = ", ".join(str(path.relative_to(project)) for path in changed)
        raise SandboxError(
            f"the command, or something else while it ran, has changed {names}: nobody was at work on it",
            hint="`tissu audit` says what of these runs can still be believed; at bwrap no command can reach them",
        )


def _kept(project: str, level: Level, reader: int) -> dict[str, Content]:
    try:
        # A repository that a command makes is its own, and so is a folder of runs.
        whole = (".git", JOURNALS) if level is Level.LANDLOCK else (".git",)
        kept = {place: what for place in whole if (what := guard.itself(project, place, reader)) is not None}
        places = layout.git_places(project) if level is Level.LANDLOCK else layout.open_places(project)
        if level is Level.LANDLOCK or not os.path.lexists(f"{project}/{JOURNALS}"):
            places.append(RULES)
        return kept | {place: guard.content(project, place, reader) for place in places if place not in kept}
    except guard.TooLargeError as error:
        raise SandboxError(
            f"what is protected in .git is too large to be kept while a command runs: {error}",
            hint=f"it may have {guard.LARGEST >> 20} MiB; at bwrap it may have any size",
        ) from None
    except OSError as error:
        raise SandboxError(f"what is protected in the project cannot be looked at: {error}") from None


def _journals(project: str, level: Level) -> dict[Path, _State]:
    if level is not Level.LANDLOCK:
        return {}
    found: list[Path] = []
    for run in Path(project, JOURNALS, "runs").glob("*"):
        journal = run / "journal.jsonl"
        if not _is_held(_lock_of(journal)):
            found += [journal, Path(project, JOURNALS, "anchors", f"{run.name}.json")]
    return {path: _state(path) for path in found}


def _lock_of(path: Path) -> Path:
    """The lock of the run to which a journal or an anchor belongs."""
    if path.suffix == ".json":
        return path.parents[1] / "runs" / path.stem / "lock"
    return path.parent / "lock"


def _is_held(lock: Path) -> bool:
    """Whether some process, or another part of this one, works on a run."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_size:  # it is emptied when it is let go: others are not disturbed for it
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _state(path: Path) -> _State:
    """What changes when a file does; a program cannot set the last of it."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
