"""The compiled forward pass for many tokens, those of a prompt: one kernel, entered by all threads together.

Multiplying is what such a pass costs. Every thread multiplies with its share of the rows of a matrix, for all
tokens (`engine/products.py`), so that each weight is read from memory once. The rest is shared out by tokens, and
attention by rows of the cache, key-value heads and blocks of queries. A block of the model has these phases,
between which the threads meet:

    norm (tokens)
    queries, keys and values (rows of the matrix)
    rotation; keys and values are stored (tokens)
    attention (heads and queries)
    output projection, residual sum (rows of the matrix)
    norm (tokens)
    first feed-forward matrix, activation (rows of the matrix)
    second feed-forward matrix, residual sum (rows of the matrix)

Of the last block only keys and values are made. All that is wanted of it besides are the logits of the last
tokens, and for these few `kernels.forward_pass` goes on.

A phase is cut into items, and whoever is free takes the next one. An item is computed in the same way by everyone,
and how it is cut does not change a sum: the result depends neither on timing nor on the number of threads.

Letters as in `kernels.py`; T tokens of each row, N = B·T.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.barrier import claim, meet
from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.engine.products import add_product, panels_in_block, whole_tiles
from quanta_tissu.tisslm.engine.simd import LANES, TILE_ROWS
from quanta_tissu.tisslm.generate.compiled.arguments import Model, PromptWorkspace, Rotation, Tokens
from quanta_tissu.tisslm.generate.compiled.kernels import attend_one, join
from quanta_tissu.tisslm.generate.compiled.shared_kernels import (
    ATTENTION_NORM,
    ATTENTION_SHIFT,
    DOWN,
    DOWN_BIAS,
    FORWARD_NORM,
    FORWARD_SHIFT,
    OUT,
    OUT_BIAS,
    QKV,
    QKV_BIAS,
    UP,
    UP_BIAS,
    activate,
    add_bias,
    add_positions,
    copy,
    embed,
    norm,
    rotate,
    store,
)
from quanta_tissu.tisslm.ops.kernels.attention_kernels import Weighting, attend

Array = NDArray[Any]

PHASES = 8
"""Phases of a block of the model; there is one more at the beginning."""

QUERIES = 64
"""Queries of an item of attention."""

_TOKENS = 16  # of an item that is shared out by tokens


@kernel
def prompt_pass(
    worker: int,
    workers: int,
    barrier: NDArray[np.int64],
    model: Model,
    tokens: Tokens,
    keys: Array,
    values: Array,
    work: PromptWorkspace,
) -> None:
    """Store the tokens' keys and values, and leave in `work.x` what enters the last block.

    Shapes: keys, values (L, B, C, K, E).
    """
    weights, offsets, taken = model.weights, model.offsets, work.taken
    layer_norm, eps = model.layer_norm, model.eps
    L, N = len(offsets), len(tokens.ids)
    yes, no, zero = N > 0, N < 0, 0 * N  # not constants, which are types of their own: more would be compiled
    M = whole_tiles(N)
    D, F = work.x.shape[1], model.wide
    K, E = keys.shape[3:]
    inner = model.heads * E
    x, normed, qkv, queries, mixed = work.x[:M], work.normed[:M], work.qkv[:M], work.queries[:M], work.mixed[:M]
    up, hidden = work.up[:M], work.hidden[:M]
    panels, edge = work.panels[worker], work.edge[worker]

    _embed(taken, model.embedding, model.positions, model.waves, weights, tokens.ids, tokens.positions, x)
    phase = _meet(barrier, 0, workers)
    for layer in range(L):
        at, last = offsets[layer], layer == L - 1
        to_x = model.residual_from_norm and not last
        _norm(taken, phase, weights, at[ATTENTION_NORM], at[ATTENTION_SHIFT], layer_norm, eps, N, x, normed, to_x)
        phase = _meet(barrier, phase, workers)

        matrix, bias, first = at[QKV], at[QKV_BIAS], inner if last else 0
        _multiply(
            taken,
            phase,
            workers,
            weights,
            matrix,
            bias,
            D,
            normed,
            first,
            inner + 2 * K * E,
            qkv,
            no,
            panels,
            edge,
        )
        phase = _meet(barrier, phase, workers)

        _rotate(
            taken,
            phase,
            model.rotation,
            tokens.positions,
            tokens.rows,
            tokens.columns,
            qkv,
            queries,
            keys[layer],
            values[layer],
        )
        phase = _meet(barrier, phase, workers)
        if last:
            return

        if TILE_ROWS * len(tokens.last) > N:
            _attend_one_by_one(
                taken,
                phase,
                model.window,
                tokens.rows,
                tokens.columns,
                tokens.starts,
                queries,
                keys[layer],
                values[layer],
                mixed,
                work.scores[worker],
                work.partial[worker],
            )
        else:
            _attend(
                taken,
                phase,
                model.window,
                len(tokens.last),
                tokens.rows,
                tokens.columns,
                tokens.starts,
                queries[:N],
                keys[layer],
                values[layer],
                mixed[:N],
                work.lse[worker],
            )
        phase = _meet(barrier, phase, workers)

        _multiply(
            taken, phase, workers, weights, at[OUT], at[OUT_BIAS], inner, mixed, zero, D, x, yes, panels, edge
        )
        phase = _meet(barrier, phase, workers)

        to_x = model.residual_from_norm
        _norm(taken, phase, weights, at[FORWARD_NORM], at[FORWARD_SHIFT], layer_norm, eps, N, x, normed, to_x)
        phase = _meet(barrier, phase, workers)

        _feed(
            taken,
            phase,
            workers,
            weights,
            at[UP],
            at[UP_BIAS],
            model.activation,
            D,
            normed,
            F,
            up,
            hidden,
            panels,
            edge,
        )
        phase = _meet(barrier, phase, workers)

        _multiply(
            taken, phase, workers, weights, at[DOWN], at[DOWN_BIAS], F, hidden, zero, D, x, yes, panels, edge
        )
        phase = _meet(barrier, phase, workers)


@kernel
def _meet(barrier: NDArray[np.int64], phase: int, workers: int) -> int:
    """Wait until all have done with a phase; give the number of the next one."""
    meet(barrier, (phase + 1) * workers)
    return phase + 1


@kernel
def _embed(
    taken: NDArray[np.int64],
    embedding: int,
    places: int,
    waves: Array,
    weights: Array,
    ids: NDArray[np.int64],
    positions: NDArray[np.int64],
    x: Array,
) -> None:
    """Embed the tokens, phase 0."""
    N = len(ids)
    first = claim(taken, 0) * _TOKENS
    while first < N:
        end = min(N, first + _TOKENS)
        embed(weights, embedding, ids[first:end], x[first:end])
        add_positions(weights, places, waves, positions[first:end], x[first:end])
        first = claim(taken, 0) * _TOKENS


@kernel
def _norm(
    taken: NDArray[np.int64],
    phase: int,
    weights: Array,
    weight: int,
    shift: int,
    layer_norm: bool,
    eps: float,
    N: int,
    x: Array,
    normed: Array,
    to_x: bool,
) -> None:
    """Normalise the first N rows of x (M, D); with `to_x` put the result in place of x as well."""
    first = claim(taken, phase) * _TOKENS
    while first < N:
        end = min(N, first + _TOKENS)
        norm(weights, weight, shift, layer_norm, eps, x[first:end], normed[first:end])
        if to_x:
            for n in range(first, end):
                copy(normed[n, : x.shape[1]], x[n])
        first = claim(taken, phase) * _TOKENS


@kernel
def _multiply(
    taken: NDArray[np.int64],
    phase: int,
    workers: int,
    weights: Array,
    matrix: int,
    bias: int,
    size: int,
    x: Array,
    lo: int,
    hi: int,
    y: Array,
    add: bool,
    panels: Array,
    edge: Array,
) -> None:
    """y[:, o] (+)= x[:, :size] · row o of the matrix, plus bias, for lo <= o < hi."""
    w = weights[matrix : matrix + hi * size].reshape(hi, size)
    items = _items(hi - lo, size, x.itemsize, workers)
    item = claim(taken, phase)
    while item < items:
        start, end = _part(hi - lo, item, items)
        add_product(x, w, lo + start, lo + end, y, lo + start, add, panels, edge)
        add_bias(weights, bias, lo + start, lo + end, y)
        item = claim(taken, phase)


@kernel
def _feed(
    taken: NDArray[np.int64],
    phase: int,
    workers: int,
    weights: Array,
    matrix: int,
    bias: int,
    activation: int,
    size: int,
    x: Array,
    F: int,
    up: Array,
    hidden: Array,
    panels: Array,
    edge: Array,
) -> None:
    """The first feed-forward matrix times x[:, :size] to up (M, F or 2F), and the activation to hidden (M, F)."""
    width = up.shape[1]
    w = weights[matrix : matrix + width * size].reshape(width, size)
    items = _items(F, size, x.itemsize, workers)
    item = claim(taken, phase)
    while item < items:
        start, end = _part(F, item, items)
        for first in range(0, width, F):  # for SwiGLU the gate, then the value, for the same columns
            add_product(x, w, first + start, first + end, up, first + start, False, panels, edge)
            add_bias(weights, bias, first + start, first + end, up)
        activate(activation, start, end, up, hidden)
        item = claim(taken, phase)


@kernel
def _items(length: int, terms: int, itemsize: int, workers: int) -> Any:
    """Into how many parts to cut rows of a matrix: each fits a block, and all workers get as many of them."""
    panels = (length + LANES - 1) // LANES
    most = panels_in_block(terms, itemsize)
    return (panels + most * workers - 1) // (most * workers) * workers


@kernel
def _part(length: int, item: int, items: int) -> tuple[int, int]:
    """Where an item begins and ends, at multiples of LANES."""
    panels = (length + LANES - 1) // LANES
    return min(length, panels * item // items * LANES), min(length, panels * (item + 1) // items * LANES)


@kernel
def _rotate(
    taken: NDArray[np.int64],
    phase: int,
    rotation: Rotation,
    positions: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    qkv: Array,
    queries: Array,
    keys: Array,
    values: Array,
) -> None:
    """Rotate queries and keys; put keys and values into the cache (B, C, K, E)."""
    N, inner = len(positions), queries.shape[1]
    first = claim(taken, phase) * _TOKENS
    while first < N:
        for n in range(first, min(N, first + _TOKENS)):
            row, column = rows[n], columns[n]
            rotate(rotation, positions[n], qkv[n, :inner], queries[n])
            store(rotation, positions[n], qkv[n, inner:], keys[row, column], values[row, column])
        first = claim(taken, phase) * _TOKENS


@kernel
def _attend(
    taken: NDArray[np.int64],
    phase: int,
    window: int,
    B: int,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    starts: NDArray[np.int64],
    queries: Array,
    keys: Array,
    values: Array,
    mixed: Array,
    lse: Array,
) -> None:
    """Attention, the later queries first, because they see most and take longest.

    Shapes: queries (N, H·E); keys, values (B, C, K, E); mixed (N, at least H·E); lse (1, QUERIES, G).
    """
    K, E = keys.shape[2:]
    T, H = len(rows) // B, queries.shape[1] // E
    G = H // K
    q = queries.reshape(1, B * T, H, E)
    y = as_strided(mixed, q.shape, (0, mixed.strides[0], E * mixed.itemsize, mixed.itemsize))
    # For these types the op has it compiled: neither for constants nor for arrays without gaps.
    causal, no_mask, keep_all = (
        B > 0,
        np.empty((1, 1), np.bool_)[:0, :0],
        np.empty((1, 1, 1, 1), np.bool_)[:, :, :, :0],
    )
    blocks = (T + QUERIES - 1) // QUERIES
    item = claim(taken, phase)
    while item < blocks * B * K:
        b, k = item // K % B, item % K
        block = blocks - 1 - item // (B * K)
        i0, i1 = T * block // blocks, T * (block + 1) // blocks
        row, position, end = rows[b * T], columns[b * T] + i0, columns[b * T] + i1
        first = starts[b * T]
        if window > 0:
            first = max(first, position - window + 1)
        first = min(first, end)  # there may be nothing but padding
        attend(
            q[0:1, b * T + i0 : b * T + i1, k * G : (k + 1) * G],
            keys[row : row + 1, first:end, k : k + 1],
            values[row : row + 1, first:end, k : k + 1],
            y[0:1, b * T + i0 : b * T + i1, k * G : (k + 1) * G],
            lse[0:1, 0 : i1 - i0, 0:G],
            Weighting(position - first, 1 / np.sqrt(E), causal, window, no_mask, keep_all, 1.0),
        )
        item = claim(taken, phase)


@kernel
def _attend_one_by_one(
    taken: NDArray[np.int64],
    phase: int,
    window: int,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    starts: NDArray[np.int64],
    queries: Array,
    keys: Array,
    values: Array,
    mixed: Array,
    scores: Array,
    partial: Array,
) -> None:
    """As `_attend`, for rows of so few tokens that keys are not worth packing."""
    n = claim(taken, phase)
    while n < len(rows):
        end = columns[n] + 1
        first = min(end, starts[n] if window == 0 else max(starts[n], end - window))
        attend_one(queries[n], keys[rows[n], first:end], values[rows[n], first:end], scores, partial[0, 0])
        join(partial, mixed[n : n + 1])
        n = claim(taken, phase)
