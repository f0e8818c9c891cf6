"""A sampling profiler: what every thread is doing, looked at a few hundred times a second.

Unlike cProfile it sees all threads, keeps whole stacks, and slows nothing down that it does not see. Compiled
kernels and matrix products have no Python frame: their time is that of the function that calls them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from types import CodeType, FrameType

INTERVAL = 0.002
"""Seconds between two looks."""

# Where a thread is that waits for work or for another thread; that time is not its own.
_IDLE = {"Condition.wait", "Event.wait", "Barrier.wait", "Thread.join", "_serve", "Workers.run"}

_PACKAGE = Path(__file__).parents[3]


@dataclass
class Node:
    """A function in the tree of calls.

    Attributes:
        name: What people read: "forward (tisslm/ops/linear.py:17)".
        samples: How often it, or something that it called, was found running.
        children: What it called, by name.
    """

    name: str
    samples: int = 0
    children: dict[str, Node] = field(default_factory=dict)

    def child(self, name: str) -> Node:
        """The function of that name that this one called."""
        return self.children.setdefault(name, Node(name))


def sample(run: Callable[[], object], *, interval: float = INTERVAL) -> Node:
    """Run something and look at what all threads do meanwhile.

    Args:
        run: What to run, in this thread.
        interval: Seconds between two looks.

    Returns:
        The tree of calls; below its root there is a node for each thread that was found busy.
    """
    root, ended = Node("all threads"), threading.Event()

    def watch() -> None:
        own = threading.get_ident()
        while not ended.is_set():
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident != own:
                    _enter(root, names.get(ident, "a thread"), frame)
            sleep(interval)

    watcher = threading.Thread(target=watch, name="sampler", daemon=True)
    watcher.start()
    try:
        run()
    finally:
        ended.set()
        watcher.join()
    return root


def _enter(root: Node, thread: str, frame: FrameType) -> None:
    """Add one stack to the tree, unless the thread waits."""
    if frame.f_code.co_qualname in _IDLE:
        return
    codes = []
    inner: FrameType | None = frame
    while inner is not None:
        codes.append(inner.f_code)
        inner = inner.f_back
    root.samples += 1
    node = root.child(thread)
    node.samples += 1
    for code in reversed(codes):
        node = node.child(_label(code))
        node.samples += 1


def _label(code: CodeType) -> str:
    """The function's name and where it is: below the package's folder, or in which file."""
    path = Path(code.co_filename)
    place = str(path.relative_to(_PACKAGE)) if path.is_relative_to(_PACKAGE) else path.name
    return f"{code.co_qualname} ({place}:{code.co_firstlineno})"
