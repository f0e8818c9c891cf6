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

from quanta_tissu.tisslm.engine.simd import LANES
from quanta_tissu.tisslm.ops.kernels import attention_kernels as kernels
from quanta_tissu.tisslm.ops.random import keep_mask_in_parts

Array = NDArray[Any]

# Random numbers drawn at a time for dropout, and how many bytes of the mask are kept for backward at most.
_DRAWN, _KEPT = 2**20, 2**24


class _Part(NamedTuple):
    """What one call of a kernel works on: where in arrays (B, T, H, ...) and (B, S, K, E), and how it weighs."""

    queries: tuple[slice, slice, slice]
    keys: tuple[slice, slice, slice]
    weighting: kernels.Weighting


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
    y = np.empty((B, T, H, E), q.dtype)
    lse = np.empty((B, H, T), q.dtype).swapaxes(1, 2)  # the rows of a head are written one after the other
    weighting = kernels.Weighting(
        position=S - T,
        scale=1 / math.sqrt(E) if scale is None else scale,
        causal=causal,
        window=window or 0,
        mask=kernels.NO_MASK if key_mask is None else np.asarray(key_mask),
        keep=kernels.KEEP_ALL,
        kept=1 / (1 - dropout),
    )
    parts = partial(_parts, q.shape, k.shape, weighting, dropout, seed)
    if B * H * T * S <= _KEPT:
        parts = partial(iter, list(parts()))
    run = _compiled(kernels.attend_once if T == 1 and E % LANES == 0 else kernels.attend, q.dtype)
    for queries, keys, weighting in parts():
        run(q[queries], k[keys], v[keys], y[queries], lse[queries], weighting)
    return y, (q, k, v, y, lse, parts)


def backward(saved: Any, dy: Float[np.ndarray, "B T H E"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `ops/attention.py`."""
    q, k, v, y, lse, parts = saved
    dy = _rows_without_gaps(dy)
    dq, dk, dv = _side_by_side(q, k, v)
    run = _compiled(kernels.attend_backward, q.dtype)
    for queries, keys, weighting in parts():
        given = q[queries], k[keys], v[keys], y[queries], lse[queries], dy[queries]
        run(*given, dq[queries], dk[keys], dv[keys], weighting)
    return dq, dk, dv


def _parts(
    q_shape: tuple[int, ...],
    k_shape: tuple[int, ...],
    weighting: kernels.Weighting,
    dropout: float,
    seed: tuple[int, ...] | None,
) -> Iterator[_Part]:
    """All at once; with dropout as many heads or queries as weights are drawn at a time, in the order of the mask.

    For long sequences the mask is drawn again in backward: to keep it would take memory that grows with T².

    Args:
        q_shape: B, T, H and E.
        k_shape: B, S, K and E.
        weighting: That of the whole, nothing dropped yet.
        dropout: Probability of dropping a weight.
        seed: Seed of the dropped weights.

    Raises:
        ValueError: There is dropout but no seed.
    """
    (B, T, H, _), (_, S, K, _) = q_shape, k_shape
    if not dropout:
        everything = slice(None), slice(None), slice(None)
        yield _Part(everything, everything, weighting)
        return
    if seed is None:
        raise ValueError("attention with dropout needs a seed")
    draw = keep_mask_in_parts(dropout, seed)
    heads, rows = (H, T) if H * T * S <= _DRAWN else (1, max(1, _DRAWN // S))
    for b in range(B):
        batch = slice(b, b + 1)
        for h in range(0, H, heads):
            kv_heads = slice(0, K) if heads == H else slice(h * K // H, h * K // H + 1)
            for start in range(0, T, rows):
                queries = slice(start, min(start + rows, T))
                some = weighting._replace(
                    position=weighting.position + start,
                    mask=weighting.mask[batch],
                    keep=draw((1, heads, queries.stop - start, S)),
                )
                yield _Part((batch, queries, slice(h, h + heads)), (batch, slice(None), kv_heads), some)


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

    real = types.float32 if dtype == np.float32 else types.float64

    def array(element: Any, dimensions: int) -> Any:
        return types.Array(element, dimensions, "A")

    kinds = {"position": types.int64, "window": types.int64, "causal": types.boolean}
    kinds |= {"scale": types.float64, "kept": types.float64}
    kinds |= {"mask": array(types.boolean, 2), "keep": array(types.boolean, 4), "lse": array(real, 3)}
    kinds["weighting"] = types.NamedTuple([kinds[name] for name in kernels.Weighting._fields], kernels.Weighting)
    compiled: Any = function
    parameters = [kinds.get(name, array(real, 4)) for name in signature(compiled.py_func).parameters]
    result: Callable[..., None] = compiled.compile(types.void(*parameters))
    return result


def _rows_without_gaps(x: Array) -> Array:
    """Give x itself if its last axis can be read in vectors, as it can in pieces of a packed projection."""
    return x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)
