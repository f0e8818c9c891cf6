"""What this machine can do: matrix products and memory, measured before anything is compared with them.

The roofline model (Williams, Waterman & Patterson 2009, *Roofline: an insightful visual performance model*) bounds
what a computation can reach by two numbers: operations a second, and bytes a second from memory. A computation
with intensity I = FLOPs / bytes runs at min(peak, I · bandwidth) at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from quanta_tissu.tisslm.engine.threads import ThreadTeam, available_cores

Array = NDArray[np.float32]

# Rows, inner and columns of the products that are tried; the best one counts as the peak.
SHAPES = ((512, 512, 512), (1024, 384, 1536), (1024, 1024, 1024))

_READ_BYTES = 1 << 28  # 256 MiB in all: several times the caches of most machines


@dataclass(frozen=True)
class Machine:
    """Measured limits, in float32.

    Attributes:
        cores: Cores used.
        gflops: 10⁹ operations a second in matrix products, each core on a product of its own.
        gflops_one_core: The same, one core alone.
        read_gbs: 10⁹ bytes a second read from memory, all cores.
    """

    cores: int
    gflops: float
    gflops_one_core: float
    read_gbs: float

    @property
    def ridge(self) -> float:
        """The intensity in FLOPs per byte above which matrix products, not memory, are the limit."""
        return self.gflops / self.read_gbs

    def seconds(self, flops: float, nbytes: float) -> float:
        """The least time in which so much work can be done."""
        return max(flops / (1e9 * self.gflops), nbytes / (1e9 * self.read_gbs))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def measure_machine(*, seconds: float = 1.5) -> Machine:
    """Measure matrix products and reading.

    Args:
        seconds: How long that may take, roughly; the best moments count, so that another program does not.
    """
    cores = available_cores()
    each = seconds / (2 * len(SHAPES) + 2)
    one = max(product_gflops(shape, 1, seconds=each) for shape in SHAPES)
    together = max(product_gflops(shape, cores, seconds=each) for shape in SHAPES)
    # On a busy machine the cores together may seem slower than one of them.
    return Machine(cores, max(one, together), one, read_gbs(cores, seconds=2 * each))


def product_gflops(shape: tuple[int, int, int], threads: int, *, seconds: float = 0.3) -> float:
    """10⁹ operations a second in float32 products of this shape, each thread on products of its own.

    Args:
        shape: M, K and N of (M, K) @ (K, N).
        threads: How many at once.
        seconds: How long to try.
    """
    M, K, N = shape
    rng = np.random.default_rng(0)
    operands = [
        (rng.random((M, K), np.float32), rng.random((K, N), np.float32), np.empty((M, N), np.float32))
        for _ in range(threads)
    ]
    return 2 * M * K * N * threads / best_seconds([partial(_product, *each) for each in operands], seconds) / 1e9


def read_gbs(threads: int, *, seconds: float = 0.3) -> float:
    """10⁹ bytes a second read from memory: scalar products of long vectors, a part for each thread."""
    size = _READ_BYTES // 8 // threads
    vectors = [(np.ones(size, np.float32), np.ones(size, np.float32)) for _ in range(threads)]
    nbytes = 8 * size * threads
    return nbytes / best_seconds([partial(np.dot, *each) for each in vectors], seconds) / 1e9


def best_seconds(tasks: Sequence[Callable[[], object]], seconds: float) -> float:
    """The least time in which all tasks ran at the same time, a thread and single-threaded BLAS for each.

    Args:
        tasks: What to run, again and again.
        seconds: How long to try; at least three times.
    """
    # Repeated, so that starting the threads does not count for short tasks.
    with ThreadTeam(len(tasks)) as team, threadpool_limits(1, user_api="blas"):
        start = time.perf_counter()
        team.run(tasks)
        began = time.perf_counter()
        repeats = max(1, int(0.01 / (began - start)))
        repeated = [partial(_repeat, task, repeats) for task in tasks]
        best, rounds = float("inf"), 0
        while rounds < 3 or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            team.run(repeated)
            best = min(best, (time.perf_counter() - start) / repeats)
            rounds += 1
    return best


def _product(a: Array, b: Array, out: Array) -> None:
    np.matmul(a, b, out=out)


def _repeat(task: Callable[[], object], times: int) -> None:
    for _ in range(times):
        task()
