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
    # Four vectors at once: each number of the query is fetched once for all of them.
    dimension = codes.shape[1]
    i = first
    while i + 4 <= last:
        a, b, c, d = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
        for j in range(dimension):
            number = np.int32(query[j])
            a += np.int32(codes[i, j]) * number
            b += np.int32(codes[i + 1, j]) * number
            c += np.int32(codes[i + 2, j]) * number
            d += np.int32(codes[i + 3, j]) * number
        out[i], out[i + 1] = a * scales[i], b * scales[i + 1]
        out[i + 2], out[i + 3] = c * scales[i + 2], d * scales[i + 3]
        i += 4
    while i < last:
        a = np.int32(0)
        for j in range(dimension):
            a += np.int32(codes[i, j]) * np.int32(query[j])
        out[i] = a * scales[i]
        i += 1


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
    codes: NDArray[np.int8], scales: NDArray[np.float32], query: NDArray[np.int16]
) -> NDArray[np.float32]:
    """`(codes @ query) * scales` (n), of codes (n, dimension) and a query whose products fit into 32 bits."""
    out = np.empty(len(codes), np.float32)
    _in_parts(lambda first, last: _bytes(codes, scales, query, out, first, last), len(codes))
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
