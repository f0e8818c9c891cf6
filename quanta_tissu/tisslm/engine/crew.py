"""A crew: threads that enter one kernel together, again and again, and meet in it at barriers.

Decoding makes hundreds of steps a second, each of which all cores share. There is one crew in a process, whatever
the number of models, and it does one thing at a time: who calls while it works waits for it. Between steps its
threads sleep, and they end with the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine import barrier
from quanta_tissu.tisslm.engine.workers import Workers

Task = Callable[[int, NDArray[np.int64]], None]
"""What every worker calls, with its number from 0 and a barrier at which nobody has arrived."""


class Crew:
    """Workers that get a barrier."""

    def __init__(self) -> None:
        self._workers = Workers("crew")

    def run(self, task: Task, workers: int) -> None:
        """Call `task` on every worker at once, and return when all have returned.

        If one fails, the barrier lets the others through, so that they end; what they have computed is worthless
        then. The same goes for Ctrl-C in the calling thread.

        Args:
            task: May meet the others at its barrier in a kernel. It must not run another task.
            workers: Number of workers, the caller included; at least 1.

        Raises:
            BaseException: As of `Workers.run`.
        """
        meeting = barrier.new_barrier()
        self._workers.run(lambda worker: task(worker, meeting), workers, lambda: barrier.abandon(meeting))


@cache
def crew() -> Crew:
    """The crew of this process; a forked one gets its own, since threads do not survive a fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=crew.cache_clear)
    return Crew()
