"""The caller and helper threads: they do one thing together, again and again, with little ado.

The caller is worker 0, so that a task wakes one thread less. Helpers are started when they are first needed, sleep
between tasks, and end with the process or when told to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

Task = Callable[[int], None]
"""What every worker calls, with its number from 0. It must raise nothing; `Workers.run` sees to that."""


class _Here(threading.local):
    """What a thread is doing."""

    among_others = False


_here = _Here()


def among_others() -> bool:
    """Whether this thread works on a task with others."""
    return _here.among_others


class Workers:
    """The caller and as many helpers as the largest task so far has asked for; one task at a time.

    Args:
        name: Of the helpers' threads, before the number.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._helpers: list[SimpleQueue[Task | None]] = []
        self._returned: SimpleQueue[None] = SimpleQueue()

    def run(self, task: Callable[[int], None], workers: int, failed: Callable[[], None] = lambda: None) -> None:
        """Call `task` on every worker at once, and return when all have returned, Ctrl-C or not.

        Who calls while a task is under way waits for it.

        Args:
            task: Called with the worker's number, which is always the same thread's. It must not run another task.
            workers: Number of workers, the caller included; at least 1.
            failed: Called by whoever fails, at once, to let others through that wait for it; harmless if repeated.

        Raises:
            BaseException: What `task` raised; the error of the first worker in order, with notes of the others.
        """
        errors: dict[int, BaseException] = {}

        def attempt(worker: int) -> None:
            _here.among_others = workers > 1
            try:
                task(worker)
            except BaseException as error:
                errors[worker] = error
                failed()
            finally:
                _here.among_others = False

        with self._lock:
            helping = 0
            try:
                for helper in self._with_helpers(workers - 1):
                    helping += 1
                    helper.put(attempt)
                attempt(0)
            except BaseException as error:  # Ctrl-C outside the task
                errors[-1] = error
                failed()
            while helping:
                try:
                    self._returned.get()
                    helping -= 1
                except BaseException as error:  # Ctrl-C; but helpers may still write to the task's arrays
                    errors[-1] = error
                    failed()
        if errors:
            first, *others = (errors[worker] for worker in sorted(errors))
            for other in others:
                first.add_note(f"another worker failed too: {other!r}")
            raise first

    def close(self) -> None:
        """End the helpers; the next task starts new ones."""
        for helper in self._helpers:
            helper.put(None)
        self._helpers = []

    def _with_helpers(self, count: int) -> list[SimpleQueue[Task | None]]:
        while len(self._helpers) < count:
            inbox: SimpleQueue[Task | None] = SimpleQueue()
            worker = len(self._helpers) + 1
            arguments = (worker, inbox, self._returned)
            threading.Thread(target=_serve, args=arguments, name=f"{self._name}-{worker}", daemon=True).start()
            self._helpers.append(inbox)
        return self._helpers[:count]


def _serve(worker: int, inbox: SimpleQueue[Task | None], returned: SimpleQueue[None]) -> None:
    while (task := inbox.get()) is not None:
        task(worker)
        del task  # or this thread would keep a model alive while it sleeps
        returned.put(None)
