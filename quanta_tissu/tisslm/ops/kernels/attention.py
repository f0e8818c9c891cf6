"""Attention in blocks that leave out what the masks hide; otherwise identical to `ops/attention.py`.

BLAS multiplies block by block, straight from and into the (B, T, H, E) arrays; the softmax between the products,
with its masks, is one kernel. Blocks are stretches of positions: a block of queries looks at the keys from the
first that its first query sees to the last that its last query sees, so that half of a long causal square is never
computed. As in the readable op, heads are grouped: queries (B, K, G, T, E), keys (B, K, 1, S, E), G = H / K.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import summing_kernel
from quanta_tissu.tisslm.engine.vector_math import exp, from_ordered_bits, ordered_bits
from quanta_tissu.tisslm.ops.random import keep_mask

Array = NDArray[Any]

# Positions in a block: smaller ones compute less of what is masked, larger ones make better matrix products.
_BLOCK = 64

_NO_MASK = np.empty((0, 0), np.bool_)
_KEEP_ALL = np.empty((0, 0, 0, 0), np.bool_)


class _Block(NamedTuple):
    """Queries [i0, i1) and the keys [j0, j1) that at least one of them may see by position."""

    i0: int
    i1: int
    j0: int
    j1: int


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
    (B, T, H, E), (S, K) = q.shape, k.shape[1:3]
    q, k, v = _last_axis_without_gaps(q), _last_axis_without_gaps(k), _last_axis_without_gaps(v)
    scale = 1 / math.sqrt(E) if scale is None else scale
    mask = _NO_MASK if key_mask is None else np.ascontiguousarray(key_mask)
    keep = None
    if dropout:
        if seed is None:
            raise ValueError("attention with dropout needs a seed")
        keep = keep_mask((B, H, T, S), dropout, seed)
    p, y = np.empty((B, H, T, S), q.dtype), np.empty((B, T, H, E), q.dtype)
    grouped_q, grouped_y, grouped_p = _queries(q, K), _queries(y, K), p.reshape(B, K, H // K, T, S)
    keys, values = _keys(k).swapaxes(-1, -2), _keys(v)
    blocks = _blocks(T, S, causal, window)
    for i0, i1, j0, j1 in blocks:
        part = grouped_p[..., i0:i1, j0:j1]
        np.matmul(grouped_q[..., i0:i1, :], keys[..., j0:j1], out=part)
        _softmax(p, i0, i1, j0, j1, scale, causal, window or 0, mask)
        weights = part if keep is None else _dropped(part, keep[..., i0:i1, j0:j1], dropout)
        np.matmul(weights, values[..., j0:j1, :], out=grouped_y[..., i0:i1, :])
    return y, (q, k, v, p, keep, dropout, scale, blocks)


def backward(saved: Any, dy: Float[np.ndarray, "B T H E"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `ops/attention.py`."""
    q, k, v, p, keep, dropout, scale, blocks = saved
    (B, T, H, E), (S, K) = q.shape, k.shape[1:3]
    dy = _last_axis_without_gaps(dy)
    ds = np.empty_like(p)
    dq = np.empty((B, T, H, E), q.dtype)
    grouped_q, grouped_dy, grouped_dq = _queries(q, K), _queries(dy, K), _queries(dq, K)
    grouped_p, grouped_ds = (x.reshape(B, K, H // K, T, S) for x in (p, ds))
    keys, values = _keys(k), _keys(v).swapaxes(-1, -2)
    for i0, i1, j0, j1 in blocks:
        part = grouped_ds[..., i0:i1, j0:j1]
        np.matmul(grouped_dy[..., i0:i1, :], values[..., j0:j1], out=part)
        _softmax_backward(p, _KEEP_ALL if keep is None else keep, dropout, scale, i0, i1, j0, j1, ds)
        np.matmul(part, keys[..., j0:j1, :], out=grouped_dq[..., i0:i1, :])
    dk, dv = np.zeros_like(k, order="C"), np.zeros_like(v, order="C")
    for i0, i1, j0, j1 in _key_blocks(blocks):
        weights = grouped_p[..., i0:i1, j0:j1]
        if keep is not None:
            weights = _dropped(weights, keep[..., i0:i1, j0:j1], dropout)
        _collect(weights, grouped_dy[..., i0:i1, :], dv[:, j0:j1])
        _collect(grouped_ds[..., i0:i1, j0:j1], grouped_q[..., i0:i1, :], dk[:, j0:j1])
    return dq, dk, dv


def _blocks(T: int, S: int, causal: bool, window: int | None) -> list[_Block]:
    """Blocks of queries; their key ranges begin and end at multiples of the block size or the ends."""
    if not causal or T < 2 * _BLOCK or T > S:
        return [_Block(0, T, 0, S)]
    before = S - T
    blocks = []
    for start in range(before // _BLOCK * _BLOCK, S, _BLOCK):
        first, end = max(start, before), min(start + _BLOCK, S)
        seen_from = 0 if window is None else max(0, first - window + 1) // _BLOCK * _BLOCK
        blocks.append(_Block(first - before, end - before, seen_from, end))
    return blocks


def _key_blocks(blocks: list[_Block]) -> list[_Block]:
    """The same pairs by key: keys [j0, j1) and the queries [i0, i1) that see at least one of them by position."""
    if len(blocks) == 1:
        return blocks
    result = []
    for j0 in range(min(block.j0 for block in blocks), blocks[-1].j1, _BLOCK):
        seeing = [block for block in blocks if block.j0 <= j0 < block.j1]
        result.append(_Block(seeing[0].i0, seeing[-1].i1, j0, min(j0 + _BLOCK, blocks[-1].j1)))
    return result


def _collect(weights: Array, rows: Array, total: Array) -> None:
    """Write Σ_i weights_ij rows_i, summed over the G query heads of a group, to total (B, S, K, E)."""
    transposed, result = weights.swapaxes(-1, -2), total.transpose(0, 2, 1, 3)
    if weights.shape[2] == 1:
        np.matmul(transposed[:, :, 0], rows[:, :, 0], out=result)
    else:
        np.sum(transposed @ rows, axis=2, out=result)


def _dropped(weights: Array, keep: Array, dropout: float) -> Array:
    factors = keep.reshape(weights.shape).astype(weights.dtype)
    factors *= 1 / (1 - dropout)
    factors *= weights
    return factors


def _queries(q: Array, kv_heads: int) -> Array:
    """(B, T, H, E) -> (B, K, G, T, E), a view."""
    B, T, H, E = q.shape
    return q.reshape(B, T, kv_heads, H // kv_heads, E).transpose(0, 2, 3, 1, 4)


def _keys(k: Array) -> Array:
    """(B, S, K, E) -> (B, K, 1, S, E), a view."""
    return k.transpose(0, 2, 1, 3)[:, :, None]


def _last_axis_without_gaps(x: Array) -> Array:
    """Give x itself if BLAS can read its matrices in place, as it can pieces of a packed projection."""
    return x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)


@summing_kernel
def _softmax(
    p: Array, i0: int, i1: int, j0: int, j1: int, scale: float, causal: bool, window: int, mask: Array
) -> None:
    """Turn scores p[:, :, i0:i1, j0:j1] into weights in place; what may not be seen becomes zero.

    p (B, H, T, S); window 0 is none; mask (B, S) is empty if there is none.
    """
    B, H, T, S = p.shape
    real = p.dtype.type
    zero, lowest, factor = real(0), real(-np.inf), real(scale)
    masked = mask.size > 0
    for b in range(B):
        for h in range(H):
            for i in range(i0, i1):
                position = S - T + i
                end = max(j0, min(j1, position + 1)) if causal else j1
                start = min(end, max(j0, position - window + 1)) if window > 0 else j0
                row = p[b, h, i]
                row[j0:start] = zero
                row[end:j1] = zero
                seen = row[start:end]  # a slice, since LLVM vectorises loops from zero
                if masked:
                    for j in range(seen.size):
                        seen[j] = seen[j] if mask[b, start + j] else lowest
                key = ordered_bits(lowest)
                for j in range(seen.size):
                    key = max(key, ordered_bits(seen[j]))
                largest = from_ordered_bits(key)
                if largest == lowest:
                    seen[:] = zero
                    continue
                total = zero
                for j in range(seen.size):
                    e = exp(factor * (seen[j] - largest))
                    seen[j] = e
                    total += e
                total = real(1) / total
                for j in range(seen.size):
                    seen[j] *= total


@summing_kernel
def _softmax_backward(
    p: Array, keep: Array, dropout: float, scale: float, i0: int, i1: int, j0: int, j1: int, ds: Array
) -> None:
    """Turn dw in ds[:, :, i0:i1, j0:j1] into ds in place; p, ds (B, H, T, S), keep too or empty."""
    B, H = p.shape[:2]
    real = p.dtype.type
    zero, factor, kept = real(0), real(scale), real(1.0 / (1.0 - dropout))
    dropping = keep.size > 0
    for b in range(B):
        for h in range(H):
            for i in range(i0, i1):
                weights, row = p[b, h, i, j0:j1], ds[b, h, i, j0:j1]
                if dropping:
                    for j in range(row.size):
                        row[j] = row[j] * kept if keep[b, h, i, j0 + j] else zero
                along = zero
                for j in range(row.size):
                    along += row[j] * weights[j]
                for j in range(row.size):
                    row[j] = factor * weights[j] * (row[j] - along)
