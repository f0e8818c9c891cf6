"""SplitMix64: random numbers as a pure function of (seed, counter) (Steele, Lea & Flood 2014, section 4).

A generator with state has to be replayed or saved to know what it gives at step k. Here number k of a stream is
computed directly, so the order of the data needs no state: it resumes, prefetches and splits over threads exactly,
and does not depend on NumPy's version.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15  # 2⁶⁴ / golden ratio, odd


def splitmix64(seed: int, counters: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Outputs number `counters` (from 0) of the generator seeded with `seed`.

    Args:
        seed: Any integer; taken modulo 2⁶⁴.
        counters: Non-negative integers of any shape.

    Returns:
        64 random bits for each counter, in the same shape.
    """
    z = counters.astype(np.uint64)
    z = (z + np.uint64(1)) * np.uint64(_GAMMA) + np.uint64(seed & _MASK)  # wraps modulo 2⁶⁴, as it should
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def permutation(seed: int, size: int, *, stream: int = 0) -> NDArray[np.int64]:
    """A random order of 0 … size - 1, a pure function of (seed, stream, size).

    Every index gets 64 random bits and the indices are sorted by them (ties keep their order).

    Args:
        seed: Any integer.
        size: How many indices; about 24 bytes of memory each while sorting, 8 afterwards.
        stream: Which of the seed's orders, the number of the epoch for instance.
    """
    own_seed = int(splitmix64(seed, np.array([stream]))[0])
    return np.argsort(splitmix64(own_seed, np.arange(size)), kind="stable")
