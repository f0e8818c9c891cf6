"""Estimates of products with many vectors at once, compiled; imported only where there are many.

`nearest` computes in NumPy what these estimate, and needs them only to see which vectors need not be computed.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

_ROWS_OF_A_THREAD = 16_384
"""Fewer are not worth waking another one."""


def _compiled(function: Function) -> Function:
    plain = inspect.unwrap(function)  # while tests run, functions arrive wrapped in a check of their annotations
    made = numba.njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})(plain)
    with suppress(RuntimeError):  # no folder is writable: it is compiled in every process
        made.enable_caching()
    return made  # type: ignore[no-any-return]


@_compiled
def _bytes(
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    query: NDArray[np.int16],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    # Numba makes int64 of every product of int32: brought back to 32 bits at each step, LLVM multiplies sixteen
    # pairs of 16 bits in one instruction, and the loop is as fast as the memory.
    dimension = codes.shape[1]
    for i in range(first, last):
        total = np.int32(0)
        for j in range(dimension):
            total = np.int32(total + np.int32(np.int32(codes[i, j]) * np.int32(query[j])))
        out[i] = total * scales[i]


@_compiled
def _bytes_at(
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    query: NDArray[np.int16],
    places: NDArray[np.int64],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    dimension = codes.shape[1]
    for n in range(first, last):
        i = places[n]
        total = np.int32(0)
        for j in range(dimension):
            total = np.int32(total + np.int32(np.int32(codes[i, j]) * np.int32(query[j])))
        out[n] = total * scales[i]


@_compiled
def _bits(
    bits: NDArray[np.uint8], table: NDArray[np.float32], out: NDArray[np.float32], first: int, last: int
) -> None:
    width = bits.shape[1]
    for i in range(first, last):
        a, b = np.float32(0), np.float32(0)
        for j in range(0, width - 1, 2):
            a += table[j, bits[i, j]]
            b += table[j + 1, bits[i, j + 1]]
        if width % 2:
            a += table[width - 1, bits[i, width - 1]]
        out[i] = a + b


def products_of_bytes(
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    query: NDArray[np.int16],
    places: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """`(codes @ query) * scales` of some places (m), or of all (n).

    Args:
        codes: (n, dimension).
        scales: (n).
        query: (dimension), with products whose sums fit into 32 bits.
        places: (m).
    """
    if places is None:
        out = np.empty(len(codes), np.float32)
        _in_parts(lambda first, last: _bytes(codes, scales, query, out, first, last), len(out))
    else:
        out = np.empty(len(places), np.float32)
        _in_parts(lambda first, last: _bytes_at(codes, scales, query, places, out, first, last), len(out))
    return out


def products_of_bits(bits: NDArray[np.uint8], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of the query's numbers (dimension), each with the sign that its bit of a vector says (n).

    The 256 possible sums of every eight numbers are looked up.
    """
    width = bits.shape[1]
    eights = np.zeros((width, 8), np.float32)
    eights.reshape(-1)[: len(query)] = query
    every = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    table = eights @ (2 * every.astype(np.float32) - 1).T
    out = np.empty(len(bits), np.float32)
    _in_parts(lambda first, last: _bits(bits, table, out, first, last), len(bits))
    return out


def _in_parts(work: Callable[[int, int], None], count: int) -> None:
    """Share rows out among the cores."""
    parts = min(_cores(), count // _ROWS_OF_A_THREAD)
    if parts < 2:
        work(0, count)
        return
    edges = [count * part // parts for part in range(parts + 1)]
    others = [_threads(os.getpid()).submit(work, edges[part], edges[part + 1]) for part in range(1, parts)]
    work(0, edges[1])
    for other in others:
        other.result()


@cache
def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """Those of this process: a forked one has none of its parent's."""
    return ThreadPoolExecutor(_cores(), thread_name_prefix="tissdb-search")
