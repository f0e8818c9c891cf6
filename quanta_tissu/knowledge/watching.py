"""Watching files: what changes is read again, until somebody stops it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from quanta_tissu.knowledge.knowledge_base import Added, KnowledgeBase, files_of

State = dict[str, tuple[int, int]]


def watch(
    kb: KnowledgeBase, paths: Sequence[Path], *, interval: float = 2.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[tuple[Path, Added]]:
    """Bring files up to date now, and again whenever one of them has another time or size.

    Args:
        kb: The knowledge base.
        paths: Files and folders.
        interval: Seconds between two looks.
        sleep: Waits so many seconds.

    Yields:
        What was added of which of the paths, whenever something was looked at.

    Raises:
        DataError: One of the paths is not there at the beginning, or a single file cannot be read.
    """
    states: dict[Path, State | None] = dict.fromkeys(paths)
    while True:
        for path in paths:
            state = _state(path)
            if state != states[path]:
                first, states[path] = states[path] is None, state
                if state or first:
                    yield path, kb.add(path)
                else:
                    yield path, Added(gone=1, deleted=kb.remove(path))
        sleep(interval)


def _state(path: Path) -> State:
    """Time and size of every file."""
    state = {}
    for file in files_of(path) if path.is_dir() else [path]:
        try:
            found = file.stat()
        except OSError:  # gone between listing and looking, or never there
            continue
        state[str(file)] = (found.st_mtime_ns, found.st_size)
    return state
