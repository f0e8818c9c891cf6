"""A crew: threads that enter one kernel together, again and again, with little ado.

Decoding makes hundreds of steps a second, each of which all cores share. The caller is worker 0, so that a step
wakes one thread less. There is one crew in a process, whatever the number of models, and it does one thing at a
time: who calls while it works waits for it. Between steps its threads sleep, and they end with the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine import barrier

Task = Callable[[int, NDArray[np.int64]], None]
"""What every worker calls, with its number from 0 and a barrier at which nobody has arrived."""


class Crew:
    """The caller and as many helpers as the largest task so far has asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._barrier = barrier.new_barrier()
        self._helpers: list[SimpleQueue[Task]] = []
        self._outcomes: SimpleQueue[BaseException | None] = SimpleQueue()

    def run(self, task: Task, workers: int, abandon: Callable[[], None] | None = None) -> None:
        """Call `task` on every worker at once, and return when all have returned.

        If one fails, the barrier lets the others through, so that they end; what they have computed is worthless
        then. The same goes for Ctrl-C in the calling thread.

        Args:
            task: May meet the others at its barrier in a kernel. It must not run another task.
            workers: Number of workers, the caller included; at least 1.
            abandon: Called as soon as one has failed, to let others through that wait for it in other ways.

        Raises:
            BaseException: What `task` raised; the caller's own error before a helper's.
        """
        with self._lock:
            barrier.reset(self._barrier)
            errors: list[BaseException] = []
            helping = 0

            def failed(error: BaseException) -> None:
                barrier.abandon(self._barrier)
                if abandon is not None:
                    abandon()
                errors.append(error)

            try:
                for helper in self._with_helpers(workers - 1):
                    helping += 1
                    helper.put(task)
                task(0, self._barrier)
            except BaseException as error:
                failed(error)
            while helping:
                try:
                    outcome = self._outcomes.get()
                except BaseException as error:  # Ctrl-C; but helpers may still write to the task's arrays
                    failed(error)
                    continue
                helping -= 1
                if outcome is not None:
                    failed(outcome)
        if errors:
            raise errors[0]

    def _with_helpers(self, count: int) -> list[SimpleQueue[Task]]:
        while len(self._helpers) < count:
            inbox: SimpleQueue[Task] = SimpleQueue()
            arguments = (inbox, self._outcomes, self._barrier)
            name = f"crew-{len(self._helpers) + 1}"
            threading.Thread(target=_serve, args=arguments, name=name, daemon=True).start()
            self._helpers.append(inbox)
        return self._helpers[:count]


@cache
def crew() -> Crew:
    """The crew of this process; a forked one gets its own, since threads do not survive a fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=crew.cache_clear)
    return Crew()


def _serve(
    inbox: SimpleQueue[Task], outcomes: SimpleQueue[BaseException | None], meeting: NDArray[np.int64]
) -> None:
    worker = int(threading.current_thread().name.removeprefix("crew-"))
    while True:
        task = inbox.get()
        outcome = None
        try:
            task(worker, meeting)
        except BaseException as error:
            barrier.abandon(meeting)
            outcome = error
        del task  # or this thread would keep a model alive while it sleeps
        outcomes.put(outcome)
