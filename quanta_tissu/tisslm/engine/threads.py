"""Threads for training: how many replicas a machine can run, and the team of workers that runs them.

A training step is fastest as one single-threaded replica per core, each on its share of the batch: two pools of
threads that wait for each other by spinning (BLAS's and a kernel library's) can make a step several times slower.
So while a team runs, BLAS is held to one thread; its calls, and our kernels, release Python's lock.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import copy_context
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.engine.workers import Workers

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


class ThreadTeam:
    """Workers that run different tasks at once; task i always goes to worker i, and worker 0 is the caller.

    Each task sees a copy of the caller's context variables (the current engine, for one). A team of one leaves
    BLAS's own threads alone.

    Example:
        with ThreadTeam(2) as team:
            losses = team.run([first.step, second.step])

    Args:
        size: Number of workers, at least 1.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._workers: Workers | None = Workers("replica")

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Run the tasks at the same time and return their results in order.

        Returns or raises only when every task has ended; if several failed, the error of the first in order is
        raised and notes the others. Ctrl-C ends the caller's own task, and the others are still waited for.

        Args:
            tasks: At most `size` callables without arguments.

        Raises:
            ValueError: There are more tasks than workers, or the team is closed.
        """
        if len(tasks) > self.size:
            raise ValueError(f"{len(tasks)} tasks for a team of {self.size}")
        if self.size == 1:
            return [task() for task in tasks]
        if self._workers is None:
            raise ValueError("the team is closed")
        contexts = [copy_context() for _ in tasks]
        results: dict[int, T] = {}

        def work(worker: int) -> None:
            results[worker] = contexts[worker].run(tasks[worker])

        with single_threaded_blas():
            self._workers.run(work, len(tasks))
        return [results[worker] for worker in range(len(tasks))]

    def close(self) -> None:
        """End the threads; the team cannot run again."""
        if self._workers is not None:
            self._workers.close()
        self._workers = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
