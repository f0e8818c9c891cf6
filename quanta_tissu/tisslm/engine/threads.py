"""Threads for training: how many replicas a machine can run, and the team of workers that runs them.

A training step is fastest as one single-threaded replica per core, each on its share of the batch: two pools of
threads that wait for each other by spinning (BLAS's and a kernel library's) can make a step several times slower.
So while a team runs, BLAS is held to one thread; its calls, and our kernels, release Python's lock.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from quanta_tissu.errors import ConfigError

T = TypeVar("T")

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def available_cores() -> int:
    """Number of physical cores this process may use, at least 1.

    Respects the process's affinity and a container's CPU quota (cgroup v2), and counts the hardware threads of
    one core once where the system tells them apart: BLAS gains nothing from a second thread on the same core.
    """
    if hasattr(os, "sched_getaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
    else:
        cpus = list(range(os.cpu_count() or 1))
    cores = len({_siblings(cpu) for cpu in cpus})
    return max(1, min(cores, _quota()))


def _siblings(cpu: int) -> str:
    """A text that is the same for all hardware threads of one core."""
    try:
        return Path(_TOPOLOGY.format(cpu)).read_text().strip()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """Cores' worth of time that the container grants; a large number without a limit."""
    unlimited = 1 << 20
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
        return unlimited if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return unlimited


def replica_count(requested: int | None) -> int:
    """How many model replicas to train on: what was asked for, or one per available core.

    Raises:
        ConfigError: Less than one was asked for.
    """
    if requested is None:
        return available_cores()
    if requested < 1:
        raise ConfigError(f"train.replicas = {requested} is less than 1", hint="leave it out for one per core")
    return requested


def single_threaded_blas() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread, in all threads of the process, inside a `with` block."""
    limit: AbstractContextManager[Any] = _blas_controller().limit(limits=1, user_api="blas")
    return limit


@cache
def _blas_controller() -> Any:
    """Looking for the loaded libraries takes milliseconds, so it is done once, not at every run."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class _Job(Generic[T]):
    """One task on its way to a worker, and its outcome on the way back."""

    def __init__(self, task: Callable[[], T], context: Context) -> None:
        self._task = task
        self._context = context
        self._done = threading.Event()
        self._result: list[T] = []
        self.error: BaseException | None = None

    def execute(self) -> None:
        try:
            self._result.append(self._context.run(self._task))
        except BaseException as error:
            self.error = error
        self._done.set()

    def wait(self) -> None:
        self._done.wait()

    @property
    def result(self) -> T:
        return self._result[0]


class ThreadTeam:
    """Persistent worker threads; task i of a run always goes to worker i.

    Each task sees a copy of the caller's context variables (the current engine, for one). A team of one runs its
    task in the calling thread and leaves BLAS's own threads alone.

    Example:
        with ThreadTeam(2) as team:
            losses = team.run([first.step, second.step])

    Args:
        size: Number of workers, at least 1.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._queues: list[SimpleQueue[_Job[Any] | None]] = []
        if size > 1:
            for index in range(size):
                queue: SimpleQueue[_Job[Any] | None] = SimpleQueue()
                self._queues.append(queue)
                threading.Thread(target=_work, args=(queue,), name=f"replica-{index}", daemon=True).start()

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Run the tasks at the same time and return their results in order.

        Returns or raises only when every task has ended; if several failed, the error of the first in order is
        raised and notes the others. After Ctrl-C in the calling thread the tasks are still waited for.

        Args:
            tasks: At most `size` callables without arguments.

        Raises:
            ValueError: There are more tasks than workers, or the team is closed.
        """
        if len(tasks) > self.size:
            raise ValueError(f"{len(tasks)} tasks for a team of {self.size}")
        if self.size == 1:
            return [task() for task in tasks]
        if not self._queues:
            raise ValueError("the team is closed")
        jobs = [_Job(task, copy_context()) for task in tasks]
        with single_threaded_blas():
            for queue, job in zip(self._queues, jobs, strict=False):
                queue.put(job)
            _wait_for_all(jobs)
        errors = [job.error for job in jobs if job.error is not None]
        if errors:
            for other in errors[1:]:
                errors[0].add_note(f"another replica failed too: {other!r}")
            raise errors[0]
        return [job.result for job in jobs]

    def close(self) -> None:
        """End the workers; the team cannot run again."""
        for queue in self._queues:
            queue.put(None)
        self._queues = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _work(queue: SimpleQueue[_Job[Any] | None]) -> None:
    while (job := queue.get()) is not None:
        job.execute()
        del job  # or the worker would keep the last step's arrays alive while it waits


def _wait_for_all(jobs: Sequence[_Job[Any]]) -> None:
    """Wait for every job, even when Ctrl-C interrupts the waiting: nobody may write to buffers afterwards."""
    try:
        for job in jobs:
            job.wait()
    except BaseException:
        for job in jobs:
            job.wait()
        raise
