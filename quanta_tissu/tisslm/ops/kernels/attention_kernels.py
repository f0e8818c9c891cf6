"""The kernels of `attention.py`: a block of queries at a time, so that weights never leave the cache.

Dao et al. 2022, arXiv:2205.14135, with two simplifications that a CPU allows. Forward takes a few queries and all
keys they see at once, so that their softmax is an ordinary one; what is saved of the weights is the logarithm of
each row's sum, lse_i = log Σ_j exp(s_ij). Backward visits blocks of queries and keys, computes their scores again,
and has the weights from p_ij = exp(s_ij - lse_i), row by row without looking at the rest of the row. There too

    Σ_j dp_ij p_ij = dy_i · y_i,        since y_i = Σ_j p_ij v_j and dp_ij = dy_i · v_j

(with dropped weights as well: both sides carry the same factors).

All products are made of tiles of 4×16 (`engine/simd.py`): of scores for queries × keys, of y and dq for queries ×
channels, of dk and dv for keys × channels. A tile in which no query sees a key is left out, and so are the terms
that others would get from it: nearly nothing of the masked half is computed, however short the sequence. A row
of scores beyond what its query sees, up to the end of its tile, is set to -∞, which becomes a weight of zero.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.engine.panels import (
    add_rows,
    copy_scaled,
    copy_to_panels,
    copy_to_transposed_panels,
    dot_of_rows,
    new_panels,
    whole,
)
from quanta_tissu.tisslm.engine.simd import (
    LANES,
    TILE_ROWS,
    add_tile_product,
    between,
    broadcast,
    exp_of,
    largest_of,
    load,
    maximum,
    store,
    sum_of,
)

Array = NDArray[Any]

# Queries in a block, and in backward keys, too: rows that share what is in the first-level cache.
_BLOCK = 64

# Numbers in forward's block of weights; for long sequences it has fewer rows, to stay in the second-level cache.
_BLOCK_SIZE = 2**16


class Weighting(NamedTuple):
    """How scores become weights; a tuple that a kernel can make, too.

    Attributes:
        position: Position of the first query among the S keys.
        scale: Factor of the scores.
        causal: See no later position than one's own.
        window: See this many last positions only; 0 for all.
        mask: True where a key may be attended to (B, S); `NO_MASK` for everywhere.
        keep: Weights that are not dropped (B, H, T, S); `KEEP_ALL` for all.
        kept: What is not dropped is multiplied by this.
    """

    position: int
    scale: float
    causal: bool
    window: int
    mask: Array
    keep: Array
    kept: float


NO_MASK = np.empty((0, 0), np.bool_)
KEEP_ALL = np.empty((0, 0, 0, 0), np.bool_)


@kernel
def attend(q: Array, k: Array, v: Array, y: Array, lse: Array, weighting: Weighting) -> None:
    """Write y (B, T, H, E) and lse (B, T, H) for q (B, T, H, E), k and v (B, S, K, E).

    Another kernel may call it, for some sequences and heads of larger arrays: the last axes have no gaps, other
    strides are free, and query head h reads key-value head h // (H/K) of what is given.

        attend(q[:, :, 0:3], k[:, :, 0:1], v[:, :, 0:1], y[:, :, 0:3], lse[:, :, 0:3],
               Weighting(position, scale, True, 0, NO_MASK, KEEP_ALL, 1.0))
    """
    B, T, H, E = q.shape
    S, K = k.shape[1:3]
    real = q.dtype.type
    scale, kept = real(weighting.scale), real(weighting.kept)
    mask, keep = weighting.mask, weighting.keep
    width, length = whole(E, LANES), whole(S, LANES)
    rows = min(_BLOCK, max(LANES, _BLOCK_SIZE // max(length, 1) // LANES * LANES), whole(T, TILE_ROWS))
    keys, values = new_panels(S, E, q), new_panels(width, S, q)
    some_q, some_y, p = _zeros(rows, width, q), _zeros(rows, width, q), _zeros(rows, length, q)
    starts, ends, one_over_sum = np.zeros(rows, np.int64), np.zeros(rows, np.int64), np.zeros(rows, q.dtype)
    for b in range(B):
        for h in range(H):
            if h % (H // K) == 0:
                copy_to_transposed_panels(k[b, :, h // (H // K)], keys)
                copy_to_panels(v[b, :, h // (H // K)], real(1), values)
            for i0 in range(0, T, rows):
                n = min(rows, T - i0)
                tiles = _visible(weighting, i0, n, S, starts, ends)
                copy_scaled(q[b, i0 : i0 + n, h], scale, some_q)
                j0 = starts[0] // LANES * LANES
                _scores(some_q, keys, starts, ends, tiles, j0, ends[n - 1], p)
                for i in range(n):
                    first, last = _tile_range(starts, ends, i, j0, ends[n - 1])
                    if mask.size > 0:
                        _hide(p[i], mask[b], j0, starts[i], ends[i])
                    largest, total = _softmax(p, i, first, last, starts[i] - j0, ends[i] - j0)
                    lse[b, i0 + i, h] = largest + real(math.log(total)) if total != 0 else real(-np.inf)
                    one_over_sum[i] = real(1) / total if total != 0 else real(0)
                    if keep.size > 0:
                        _drop(p[i], keep[b, h, i0 + i], j0, starts[i], ends[i], kept)
                for e in range(0, width, LANES):
                    panel = values[e // LANES]
                    for i in range(0, tiles, TILE_ROWS):
                        first = starts[i] // LANES * LANES
                        terms = ends[i + TILE_ROWS - 1] - first
                        add_tile_product(p, i, first - j0, panel, first, 0, terms, some_y, i, e, False)
                for i in range(n):
                    copy_scaled(some_y[i : i + 1, :E], one_over_sum[i], y[b, i0 + i : i0 + i + 1, h])


@kernel
def attend_once(q: Array, k: Array, v: Array, y: Array, lse: Array, weighting: Weighting) -> None:
    """As `attend`, for one query (T = 1) and E a multiple of LANES: all heads together.

    Keys are not worth a copy then: they and the values are read once, in the order in which they lie in memory.
    """
    B, _, H, E = q.shape
    S, K = k.shape[1:3]
    G = H // K
    real = q.dtype.type
    scale, kept = real(weighting.scale), real(weighting.kept)
    mask, keep = weighting.mask, weighting.keep
    p = _zeros(H, whole(S, LANES) + LANES, q)  # rows of 2^n numbers would share a place in the cache
    starts, ends = np.zeros(TILE_ROWS, np.int64), np.zeros(TILE_ROWS, np.int64)
    _visible(weighting, 0, 1, S, starts, ends)
    start, end = starts[0], ends[0]
    for b in range(B):
        some_q, some_y = q[b, 0], y[b, 0]
        for j in range(start, end):
            some_k = k[b, j]
            for n in range(K):
                for h in range(n * G, (n + 1) * G):
                    score = broadcast(real(0))
                    for e in range(0, E, LANES):
                        score = score + load(some_q, h, e) * load(some_k, n, e)
                    p[h, j] = scale * sum_of(score)
        for h in range(H):
            if mask.size > 0:
                _hide(p[h], mask[b], 0, start, end)
            largest, total = _softmax(p, h, start // LANES * LANES, whole(end, LANES), start, end)
            lse[b, 0, h] = largest + real(math.log(total)) if total != 0 else real(-np.inf)
            if keep.size > 0:
                _drop(p[h], keep[b, h, 0], 0, start, end, kept)
            for j in range(start, end):
                p[h, j] *= real(1) / total if total != 0 else real(0)
            for e in range(0, E, LANES):
                store(some_y, h, e, broadcast(real(0)))
        for j in range(start // 4 * 4, end, 4):  # weights next to those from start to end are zero
            v0, v1 = v[b, j], v[b, min(j + 1, end - 1)]
            v2, v3 = v[b, min(j + 2, end - 1)], v[b, min(j + 3, end - 1)]
            for n in range(K):
                for h in range(n * G, (n + 1) * G):
                    for e in range(0, E, LANES):
                        some = load(some_y, h, e) + load(v0, n, e) * p[h, j] + load(v1, n, e) * p[h, j + 1]
                        some = some + load(v2, n, e) * p[h, j + 2] + load(v3, n, e) * p[h, j + 3]
                        store(some_y, h, e, some)


@kernel
def attend_backward(
    q: Array,
    k: Array,
    v: Array,
    y: Array,
    lse: Array,
    dy: Array,
    dq: Array,
    dk: Array,
    dv: Array,
    weighting: Weighting,
) -> None:
    """Write dq (B, T, H, E) and add to dk and dv (B, S, K, E); the rest as in `attend`."""
    B, T, H, E = q.shape
    S, K = k.shape[1:3]
    real = q.dtype.type
    scale, kept = real(weighting.scale), real(weighting.kept)
    mask, keep = weighting.mask, weighting.keep
    width, rows = whole(E, LANES), min(_BLOCK, whole(T, TILE_ROWS))
    keys_t, values_t, keys = new_panels(S, E, q), new_panels(S, E, q), new_panels(width, S, q)
    sum_dk, sum_dv = _zeros(whole(S, TILE_ROWS), width, q), _zeros(whole(S, TILE_ROWS), width, q)
    some_q, some_dy, some_dq = _zeros(rows, width, q), _zeros(rows, width, q), _zeros(rows, width, q)
    p, ds = _zeros(rows, _BLOCK, q), _zeros(rows, _BLOCK, q)
    starts, ends, along = np.zeros(rows, np.int64), np.zeros(rows, np.int64), np.zeros(rows, q.dtype)
    for b in range(B):
        for h in range(H):
            kv_head = h // (H // K)
            if h % (H // K) == 0:
                copy_to_transposed_panels(k[b, :, kv_head], keys_t)
                copy_to_transposed_panels(v[b, :, kv_head], values_t)
                copy_to_panels(k[b, :, kv_head], scale, keys)
                sum_dk[:] = real(0)
                sum_dv[:] = real(0)
            for i0 in range(0, T, rows):
                n = min(rows, T - i0)
                tiles = _visible(weighting, i0, n, S, starts, ends)
                copy_scaled(q[b, i0 : i0 + n, h], scale, some_q)
                copy_scaled(dy[b, i0 : i0 + n, h], real(1), some_dy)
                some_dq[:] = real(0)
                for i in range(n):
                    along[i] = dot_of_rows(dy[b, i0 : i0 + n, h], y[b, i0 : i0 + n, h], i)
                for j0 in range(starts[0] // _BLOCK * _BLOCK, ends[n - 1], _BLOCK):
                    j1 = min(j0 + _BLOCK, ends[n - 1])
                    _scores(some_q, keys_t, starts, ends, tiles, j0, j1, p)
                    _scores(some_dy, values_t, starts, ends, tiles, j0, j1, ds)  # dw
                    for i in range(n):
                        first, last = _tile_range(starts, ends, i, j0, j1)
                        if last <= first:
                            continue
                        start, end = max(starts[i], j0), min(ends[i], j1)
                        if mask.size > 0:
                            _hide(p[i], mask[b], j0, start, end)
                        if keep.size > 0:
                            _drop(ds[i], keep[b, h, i0 + i], j0, start, end, kept)
                        some_lse = lse[b, i0 + i, h]
                        _softmax_backward(p, ds, i, first, last, starts[i] - j0, ends[i] - j0, some_lse, along[i])
                        if keep.size > 0:
                            _drop(p[i], keep[b, h, i0 + i], j0, start, end, kept)
                    for e in range(0, width, LANES):
                        for i in range(0, tiles, TILE_ROWS):
                            first = max(starts[i] // LANES * LANES, j0)
                            terms = min(ends[i + TILE_ROWS - 1], j1) - first
                            if terms > 0:
                                panel = keys[e // LANES]
                                add_tile_product(ds, i, first - j0, panel, first, 0, terms, some_dq, i, e, True)
                    _collect(p.T, some_dy, starts, ends, n, j0, j1, sum_dv)
                    _collect(ds.T, some_q, starts, ends, n, j0, j1, sum_dk)
                copy_scaled(some_dq[:n, :E], real(1), dq[b, i0 : i0 + n, h])
            if (h + 1) % (H // K) == 0:
                add_rows(sum_dk, dk[b, :, kv_head])
                add_rows(sum_dv, dv[b, :, kv_head])


@kernel
def _zeros(rows: int, columns: int, like: Array) -> Array:
    return np.zeros((rows, columns), like.dtype)


@kernel
def _visible(weighting: Weighting, i0: int, n: int, keys: int, starts: Array, ends: Array) -> Any:
    """Write the range of keys that queries i0 to i0 + n see by position; give n rounded up to whole tiles.

    The rows that fill the last tile repeat the last query's, so that a tile's keys are those from its first row's
    start to its last row's end.
    """
    tiles = whole(n, TILE_ROWS)
    for i in range(tiles):
        at = weighting.position + i0 + min(i, n - 1)
        ends[i] = max(0, min(keys, at + 1)) if weighting.causal else keys
        starts[i] = min(ends[i], max(0, at - weighting.window + 1)) if weighting.window > 0 else 0
    return tiles


@kernel
def _tile_range(starts: Array, ends: Array, i: int, j0: int, j1: int) -> tuple[int, int]:
    """The columns of a block of keys j0 to j1 that are computed for row i: whole tiles of what its tile sees."""
    tile = i // TILE_ROWS * TILE_ROWS
    first, last = max(starts[tile], j0), min(ends[tile + TILE_ROWS - 1], j1)
    return first // LANES * LANES - j0, whole(max(last, 0), LANES) - j0 if last > first else 0


@kernel
def _scores(a: Array, panels: Array, starts: Array, ends: Array, tiles: int, j0: int, j1: int, c: Array) -> None:
    """Write a · panels for keys j0 to j1 to c, tile by tile where a query sees a key."""
    for j in range(j0, j1, LANES):
        panel = panels[j // LANES]
        for i in range(0, tiles, TILE_ROWS):
            if starts[i] < j + LANES and j < ends[i + TILE_ROWS - 1]:
                add_tile_product(a, i, 0, panel, 0, 0, panel.shape[0], c, i, j - j0, False)


@kernel
def _collect(
    weights: Array, rows: Array, starts: Array, ends: Array, n: int, j0: int, j1: int, total: Array
) -> None:
    """Add Σ_i weights_ji rows_i, over the queries i that see key j, to total_j for keys j0 to j1."""
    for e in range(0, total.shape[1], LANES):
        first, last = 0, 0
        for j in range(j0, j1, TILE_ROWS):
            while first < n and ends[first + TILE_ROWS - 1] <= j:
                first += TILE_ROWS
            while last < n and starts[last] < j + TILE_ROWS:
                last += TILE_ROWS
            terms = min(last, n) - first
            if terms > 0:
                add_tile_product(weights, j - j0, first, rows, first, e, terms, total, j, e, True)


@kernel
def _softmax(p: Array, i: int, first: int, last: int, start: int, end: int) -> tuple[float, float]:
    """Turn scores p[i, start:end] into exponentials, and the rest of p[i, first:last] into zeros.

    Returns:
        The largest score, which was subtracted, and the sum of the exponentials; a sum of zero if all is hidden.
    """
    lowest, zero = p.dtype.type(-np.inf), p.dtype.type(0)
    highest = broadcast(lowest)
    for j in range(first, last, LANES):
        scores = load(p, i, j)
        if j < start or j + LANES > end:
            scores = between(scores, start - j, end - j, lowest)
            store(p, i, j, scores)
        highest = maximum(highest, scores)
    largest = largest_of(highest)
    if largest == lowest:
        largest = zero
    total = broadcast(zero)
    for j in range(first, last, LANES):
        weights = exp_of(load(p, i, j) - largest)
        store(p, i, j, weights)
        total = total + weights
    return largest, sum_of(total)


@kernel
def _softmax_backward(
    p: Array, ds: Array, i: int, first: int, last: int, start: int, end: int, lse: float, along: float
) -> None:
    """Turn scores p[i, start:end] into weights and dp in ds into ds; the rest of first to last into zeros.

    The weight of a key that is seen alone is one whatever its score.
    """
    lowest, zero = p.dtype.type(-np.inf), p.dtype.type(0)
    if lse == lowest:
        lse = zero
    for j in range(first, last, LANES):
        scores = load(p, i, j)
        if j < start or j + LANES > end:
            scores = between(scores, start - j, end - j, lowest)
        weights = exp_of(scores - lse)
        store(p, i, j, weights)
        store(ds, i, j, broadcast(zero) if end - start == 1 else weights * (load(ds, i, j) - along))


@kernel
def _hide(row: Array, mask: Array, j0: int, start: int, end: int) -> None:
    """Set the scores of keys start to end that the mask hides to -∞; column 0 is key j0."""
    for j in range(start, end):
        if not mask[j]:
            row[j - j0] = -np.inf


@kernel
def _drop(row: Array, keep: Array, j0: int, start: int, end: int, kept: float) -> None:
    """Multiply keys start to end by `kept` where they are kept, and by zero elsewhere; column 0 is key j0."""
    weights, keeps = row[start - j0 : end - j0], keep[start:end]  # slices, since LLVM vectorises loops from zero
    for j in range(weights.size):
        weights[j] = weights[j] * kept if keeps[j] else row.dtype.type(0)
