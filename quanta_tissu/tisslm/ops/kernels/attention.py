"""Attention without arrays of T×T; otherwise identical to `ops/attention.py`.

The work is done by the kernels of `attention_kernels.py`, which explains how.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.simd import LANES, TILE_ROWS
from quanta_tissu.tisslm.ops.kernels import attention_kernels as kernels
from quanta_tissu.tisslm.ops.random import keep_mask_in_parts

Array = NDArray[Any]

# Random numbers drawn at a time for dropout, and how many bytes of the mask are kept for backward at most.
_DRAWN, _KEPT = 2**20, 2**24

_NO_MASK = np.empty((0, 0), np.bool_)
_KEEP_ALL = np.empty((0, 0, 0, 0), np.bool_)


class _Part(NamedTuple):
    """What one call of a kernel works on: slices of the batch, the heads and the queries, and weights to keep."""

    batch: slice
    heads: slice
    kv_heads: slice
    queries: slice
    keep: Array


def forward(
    q: Float[np.ndarray, "B T H E"],
    k: Float[np.ndarray, "B S K E"],
    v: Float[np.ndarray, "B S K E"],
    *,
    scale: float | None = None,
    causal: bool = True,
    window: int | None = None,
    key_mask: Bool[np.ndarray, "B S"] | None = None,
    dropout: float = 0.0,
    seed: tuple[int, ...] | None = None,
) -> tuple[Float[np.ndarray, "B T H E"], Any]:
    """As `ops/attention.py`."""
    (B, T, H, E), S = q.shape, k.shape[1]
    q, k, v = _rows_without_gaps(q), _rows_without_gaps(k), _rows_without_gaps(v)
    scale = 1 / math.sqrt(E) if scale is None else scale
    mask = _NO_MASK if key_mask is None else np.asarray(key_mask)
    y, lse = np.empty((B, T, H, E), q.dtype), np.empty((B, H, T), q.dtype)
    # Fewer queries than a tile has rows are not worth a copy of the keys.
    run = _compiled(kernels.attend_few if T < TILE_ROWS and E % LANES == 0 else kernels.attend, q.dtype)
    parts = partial(_parts, q.shape, k.shape, dropout, seed)
    if B * H * T * S <= _KEPT:
        parts = partial(iter, list(parts()))
    for batch, heads, kv_heads, queries, keep in parts():
        run(
            q[batch, queries, heads],
            k[batch, :, kv_heads],
            v[batch, :, kv_heads],
            y[batch, queries, heads],
            lse[batch, heads, queries],
            S - T + queries.start,
            scale,
            causal,
            window or 0,
            mask[batch],
            keep,
            1 / (1 - dropout),
        )
    return y, (q, k, v, y, lse, scale, causal, window, mask, dropout, parts)


def backward(saved: Any, dy: Float[np.ndarray, "B T H E"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `ops/attention.py`."""
    q, k, v, y, lse, scale, causal, window, mask, dropout, parts = saved
    T, S = q.shape[1], k.shape[1]
    dy = _rows_without_gaps(dy)
    dq, dk, dv = _side_by_side(q, k, v)
    run = _compiled(kernels.attend_backward, q.dtype)
    for batch, heads, kv_heads, queries, keep in parts():
        run(
            q[batch, queries, heads],
            k[batch, :, kv_heads],
            v[batch, :, kv_heads],
            y[batch, queries, heads],
            lse[batch, heads, queries],
            dy[batch, queries, heads],
            S - T + queries.start,
            scale,
            causal,
            window or 0,
            mask[batch],
            keep,
            1 / (1 - dropout),
            dq[batch, queries, heads],
            dk[batch, :, kv_heads],
            dv[batch, :, kv_heads],
        )
    return dq, dk, dv


def _parts(
    q_shape: tuple[int, ...], k_shape: tuple[int, ...], dropout: float, seed: tuple[int, ...] | None
) -> Iterator[_Part]:
    """All at once; with dropout as many heads or queries as weights are drawn at a time, in the order of the mask.

    For long sequences the mask is drawn again in backward: to keep it would take memory that grows with T².
    """
    (B, T, H, _), (_, S, K, _) = q_shape, k_shape
    everything = slice(0, B), slice(0, H), slice(0, K), slice(0, T)
    if not dropout:
        yield _Part(*everything, _KEEP_ALL)
        return
    if seed is None:
        raise ValueError("attention with dropout needs a seed")
    draw = keep_mask_in_parts(dropout, seed)
    heads, rows = (H, T) if H * T * S <= _DRAWN else (1, max(1, _DRAWN // S))
    for b in range(B):
        for h in range(0, H, heads):
            kv_heads = slice(0, K) if heads == H else slice(h * K // H, h * K // H + 1)
            for start in range(0, T, rows):
                queries = slice(start, min(start + rows, T))
                keep = draw((1, heads, queries.stop - start, S))
                yield _Part(slice(b, b + 1), slice(h, h + heads), kv_heads, queries, keep)


def _side_by_side(q: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
    """Zeros for dq, dk and dv; where they have the same length, in one array as the packed projection has them.

    The gradient of the `split` that made q, k and v then is that array, and nothing is copied.
    """
    (B, T, H, E), (_, S, K, _) = q.shape, k.shape
    if T != S:
        return np.zeros(q.shape, q.dtype), np.zeros(k.shape, k.dtype), np.zeros(v.shape, v.dtype)
    packed = np.zeros((B, T, (H + 2 * K) * E), q.dtype)
    dq, dk, dv = np.split(packed, [H * E, (H + K) * E], axis=-1)
    return dq.reshape(q.shape), dk.reshape(k.shape), dv.reshape(v.shape)


@cache
def _compiled(function: Callable[..., None], dtype: np.dtype[Any]) -> Callable[..., None]:
    """A kernel for arrays of any strides.

    Left to itself, Numba would compile it anew for every combination of arrays with and without gaps.
    """
    from numba import types

    dimensions = {"lse": 3, "mask": 2}
    numbers = {"position": types.int64, "window": types.int64, "causal": types.boolean}
    numbers |= {"scale": types.float64, "kept": types.float64}
    real = types.float32 if dtype == np.float32 else types.float64

    def kind(name: str) -> Any:
        element = types.boolean if name in ("mask", "keep") else real
        return numbers.get(name) or types.Array(element, dimensions.get(name, 4), "A")

    compiled: Any = function
    result: Callable[..., None] = compiled.compile(types.void(*map(kind, signature(compiled.py_func).parameters)))
    return result


def _rows_without_gaps(x: Array) -> Array:
    """Give x itself if its last axis can be read in vectors, as it can in pieces of a packed projection."""
    return x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)
