"""How memory is kept for the next step.

A training step allocates and frees the same large arrays as the step before. By default the GNU C library gives
every freed array of more than about 128 KiB back to the system, and the next step pays for getting it again: the
system clears each page at its first use, which cost a tenth of a step where it was measured (docs/experiments.md).
"""

from __future__ import annotations

import ctypes
import sys
import threading
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

# Parameters of mallopt, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # the library accepts no more (on 64-bit systems)
_NEVER_TRIM = 2**31 - 1

_own = threading.local()


@cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory of freed arrays up to 32 MiB each, for arrays to come.

    Three settings of glibc's allocator: such arrays come from the heap instead of mappings of their own; the heap
    is not trimmed; and all threads share it, because a thread's own heap is given back when it empties. The
    process then holds on to its peak of memory until it ends, which a training process does anyway.

    Returns:
        Whether the settings were made; False where the C library is not glibc, and nothing changes there.
    """
    return _set_allocator(
        (_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD), (_M_TRIM_THRESHOLD, _NEVER_TRIM), (_M_ARENA_MAX, 1)
    )


@cache
def return_freed_memory() -> bool:
    """Let this process give every freed array of 4 MiB or more back to the system.

    By default glibc raises that limit up to 32 MiB, to the largest array that was freed so far; what lies between
    arrays that stay is lost then. Where whole blocks of a model come and go all the time, between parts that stay,
    that was more than the parts themselves (docs/experiments.md).

    Returns:
        As for `keep_freed_memory`.
    """
    return _set_allocator((_M_MMAP_THRESHOLD, 4 * 2**20))


def _set_allocator(*settings: tuple[int, int]) -> bool:
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    accepted = [library.mallopt(parameter, value) == 1 for parameter, value in settings]
    return all(accepted)


def scratch(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array for the moment, in memory that the thread keeps: the next call in this thread hands it out again.

    For arrays that may be larger than what `keep_freed_memory` keeps. Whoever asks must be done with the array
    before anything else in the thread may ask, so it is never returned or saved. Its elements are arbitrary.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    memory: NDArray[np.uint8] | None = getattr(_own, "memory", None)
    if memory is None or memory.nbytes < size:
        _own.memory = None  # or both would be there at once
        _own.memory = memory = np.empty(size, np.uint8)
    return memory[:size].view(dtype).reshape(shape)


def release_scratch() -> None:
    """Give the thread's memory for the moment back."""
    _own.memory = None
