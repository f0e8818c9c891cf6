"""The compiled forward pass for a few tokens: one kernel, entered by all threads together.

Reading the weights is what such a pass costs, so everything is arranged around reading each of them once, at the
speed of memory: every thread goes through its own share of the rows of a matrix, for all tokens at the same time.
What is small (norms, rotations) every thread computes for itself, which is cheaper than to wait for another one.
The threads meet four times in a block:

    norm, queries, keys and values (rows of the matrix)
        --- meet ---
    attention (stretches of the cached positions)
        --- meet ---
    sum of the stretches, output projection (rows), residual sum
        --- meet ---
    norm, first feed-forward matrix (rows), activation
        --- meet ---
    second feed-forward matrix (rows), residual sum
        --- meet ---

The result does not depend on timing. It depends on the number of threads in the last bits, through the sums of
attention. Only `_product` and `embed` read matrices.

Letters: N tokens of this pass; D model width, H heads, K key-value heads, G = H / K, E head width, F width of the
feed-forward layer, V vocabulary, L layers, B rows of the cache, C its capacity, W threads, P parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.barrier import meet
from quanta_tissu.tisslm.engine.jit import summing_kernel
from quanta_tissu.tisslm.engine.vector_math import exp, from_ordered_bits, ordered_bits
from quanta_tissu.tisslm.generate.compiled.arguments import Model, Tokens, Workspace
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
    embed,
    norm,
    rotate,
    store,
)

Array = NDArray[Any]

_ROWS = 16  # of a matrix, which all tokens go through before the next ones are read


def padded(count: int) -> int:
    """How many rows `_product` computes for `count` tokens: 1, 2 or a multiple of 4."""
    return count if count <= 2 else -(-count // 4) * 4


@summing_kernel
def forward_pass(
    worker: int,
    workers: int,
    barrier: NDArray[np.int64],
    model: Model,
    tokens: Tokens,
    keys: Array,
    values: Array,
    first_layer: int,
    work: Workspace,
) -> None:
    """Compute `work.logits` and store the tokens' keys and values.

    Args:
        worker: Number of this thread.
        workers: W.
        barrier: Where the threads meet.
        model: The model.
        tokens: What to read.
        keys: (L, B, C, K, E).
        values: The same.
        first_layer: Where to begin; `work.x` holds what comes out of the layers before. They are all there are
            but for the last one when a prompt ends (see `prompt_kernels.py`), and none otherwise.
        work: Where to compute.
    """
    weights, offsets, rotation, layer_norm, eps = (
        model.weights,
        model.offsets,
        model.rotation,
        model.layer_norm,
        model.eps,
    )
    L = len(offsets)
    N, D = len(tokens.ids), work.x.shape[1]
    K, E = keys.shape[3:]
    H, F = model.heads, model.wide
    qkv_size, up_size = (H + 2 * K) * E, work.up.shape[1]
    normed, mixed = work.normed[worker], work.mixed[worker]
    base = normed if model.residual_from_norm else work.x
    d0, d1 = _share(D, worker, workers)
    q0, q1 = _share(qkv_size, worker, workers)
    f0, f1 = _share(F, worker, workers)
    met = workers

    if worker == 0 and first_layer == 0:
        embed(weights, model.embedding, tokens.ids, work.x)
        add_positions(weights, model.positions, model.waves, tokens.positions, work.x)
    meet(barrier, met)
    for layer in range(first_layer, L):
        at = offsets[layer]
        norm(weights, at[ATTENTION_NORM], at[ATTENTION_SHIFT], layer_norm, eps, work.x, normed)
        _product(weights, at[QKV], normed, q0, q1, work.qkv)
        add_bias(weights, at[QKV_BIAS], q0, q1, work.qkv)
        met += workers
        meet(barrier, met)

        # Of a single token it is the last worker alone that attends to the newest position.
        for n in range(N):
            if worker == (workers - 1 if tokens.single else n % workers):
                position, row, column = tokens.positions[n], tokens.rows[n], tokens.columns[n]
                store(
                    rotation, position, work.qkv[n, H * E :], keys[layer, row, column], values[layer, row, column]
                )
        if not tokens.single:
            met += workers
            meet(barrier, met)
        for n in range(N):
            end = tokens.columns[n] + 1
            start = tokens.starts[n] if model.window == 0 else max(tokens.starts[n], end - model.window)
            # The stretch is a part of what the token sees, so a row does not depend on the rows beside it.
            seen = max(0, end - start)
            first, stop = start + seen * worker // workers, start + seen * (worker + 1) // workers
            rotate(rotation, tokens.positions[n], work.qkv[n, : H * E], work.query[worker])
            attend_one(
                work.query[worker],
                keys[layer, tokens.rows[n], first:stop],
                values[layer, tokens.rows[n], first:stop],
                work.scores[worker],
                work.partial[worker, n],
            )
        met += workers
        meet(barrier, met)

        join(work.partial, mixed)
        _product(weights, at[OUT], mixed, d0, d1, work.y)
        add_bias(weights, at[OUT_BIAS], d0, d1, work.y)
        _add(base, work.y, d0, d1, work.x)
        met += workers
        meet(barrier, met)

        norm(weights, at[FORWARD_NORM], at[FORWARD_SHIFT], layer_norm, eps, work.x, normed)
        for first in range(0, up_size, F):  # for SwiGLU the gate, then the value, for the same columns
            _product(weights, at[UP], normed, first + f0, first + f1, work.up)
            add_bias(weights, at[UP_BIAS], first + f0, first + f1, work.up)
        activate(model.activation, f0, f1, work.up, work.hidden)
        met += workers
        meet(barrier, met)

        _product(weights, at[DOWN], work.hidden, d0, d1, work.y)
        add_bias(weights, at[DOWN_BIAS], d0, d1, work.y)
        _add(base, work.y, d0, d1, work.x)
        met += workers
        meet(barrier, met)

    for row in range(len(tokens.last)):
        n = tokens.last[row]
        one, result = work.x[n : n + 1], normed[row : row + 1]
        norm(weights, model.final_norm, model.final_shift, layer_norm, eps, one, result)
    v0, v1 = _share(model.vocabulary, worker, workers)
    _product(weights, model.head, normed[: len(work.logits)], v0, v1, work.logits)


@summing_kernel
def _share(size: int, worker: int, workers: int) -> tuple[int, int]:
    """The worker's part of `size` rows; cut at multiples of 16 where possible, so that no cache line is shared."""
    pieces = -(-size // 16)
    return min(size, pieces * worker // workers * 16), min(size, pieces * (worker + 1) // workers * 16)


@summing_kernel
def _product(weights: Array, offset: int, x: Array, lo: int, hi: int, y: Array) -> None:
    """y[:, o] = x · row o of the matrix at `offset`, for lo <= o < hi; x (1, 2 or a multiple of 4, I).

    The first four tokens read a few rows one after the other, which is the order that memory is read fastest in.
    The other tokens then find these rows in a near cache, and take two at a time to load their x half as often.
    """
    N = len(x)
    for first in range(lo, hi, _ROWS):
        end = min(hi, first + _ROWS)
        if N == 1:
            _one_token(weights, offset, x[0], first, end, y[0])
        elif N == 2:
            _two_tokens(weights, offset, x, first, end, y)
        else:
            _four_tokens(weights, offset, x, first, end, y)
            pairs_end = first + (end - first) // 2 * 2
            for n in range(4, N, 4):
                _four_tokens_by_pairs(weights, offset, x[n : n + 4], first, pairs_end, y[n : n + 4])
                _four_tokens(weights, offset, x[n : n + 4], pairs_end, end, y[n : n + 4])


@summing_kernel
def _one_token(weights: Array, offset: int, x: Array, lo: int, hi: int, y: Array) -> None:
    """Shapes: x (I), y (O)."""
    size = x.size
    for o in range(lo, hi):
        row = weights[offset + o * size : offset + (o + 1) * size]
        total = x.dtype.type(0)
        for i in range(size):
            total += row[i] * x[i]
        y[o] = total


@summing_kernel
def _two_tokens(weights: Array, offset: int, x: Array, lo: int, hi: int, y: Array) -> None:
    """Shapes: x (2, I), y (2, O)."""
    a, b = x[0], x[1]
    size = a.size
    zero = x.dtype.type(0)
    for o in range(lo, hi):
        row = weights[offset + o * size : offset + (o + 1) * size]
        a0, b0 = zero, zero
        for i in range(size):
            a0 += row[i] * a[i]
            b0 += row[i] * b[i]
        y[0, o], y[1, o] = a0, b0


@summing_kernel
def _four_tokens(weights: Array, offset: int, x: Array, lo: int, hi: int, y: Array) -> None:
    """Shapes: x (at least 4, I), y (at least 4, O)."""
    a, b, c, d = x[0], x[1], x[2], x[3]
    size = a.size
    zero = x.dtype.type(0)
    for o in range(lo, hi):
        row = weights[offset + o * size : offset + (o + 1) * size]
        a0, b0, c0, d0 = zero, zero, zero, zero
        for i in range(size):
            a0 += row[i] * a[i]
            b0 += row[i] * b[i]
            c0 += row[i] * c[i]
            d0 += row[i] * d[i]
        y[0, o], y[1, o], y[2, o], y[3, o] = a0, b0, c0, d0


@summing_kernel
def _four_tokens_by_pairs(weights: Array, offset: int, x: Array, lo: int, hi: int, y: Array) -> None:
    """As `_four_tokens`, for an even number of rows."""
    a, b, c, d = x[0], x[1], x[2], x[3]
    size = a.size
    zero = x.dtype.type(0)
    for o in range(lo, hi, 2):
        row0 = weights[offset + o * size : offset + (o + 1) * size]
        row1 = weights[offset + (o + 1) * size : offset + (o + 2) * size]
        a0, b0, c0, d0, a1, b1, c1, d1 = zero, zero, zero, zero, zero, zero, zero, zero
        for i in range(size):
            w0, w1 = row0[i], row1[i]
            a0 += w0 * a[i]
            b0 += w0 * b[i]
            c0 += w0 * c[i]
            d0 += w0 * d[i]
            a1 += w1 * a[i]
            b1 += w1 * b[i]
            c1 += w1 * c[i]
            d1 += w1 * d[i]
        y[0, o], y[1, o], y[2, o], y[3, o] = a0, b0, c0, d0
        y[0, o + 1], y[1, o + 1], y[2, o + 1], y[3, o + 1] = a1, b1, c1, d1


@summing_kernel
def _add(base: Array, y: Array, lo: int, hi: int, x: Array) -> None:
    """Make columns lo to hi of x the sum of base and y."""
    for n in range(len(x)):
        a, b, c = base[n, lo:hi], y[n, lo:hi], x[n, lo:hi]
        for j in range(c.size):
            c[j] = a[j] + b[j]


@summing_kernel
def attend_one(query: Array, keys: Array, values: Array, scores: Array, partial: Array) -> None:
    """Attention of one token's heads to one stretch of positions.

    Shapes: query (H·E); keys, values (S, K, E); scores (G, at least S); partial (H, E + 2).
    """
    K, E = keys.shape[1:]
    G = len(partial) // K
    factor = query.dtype.type(1 / np.sqrt(E))
    for k in range(K):
        heads = query[k * G * E : (k + 1) * G * E].reshape(G, E)
        _attend_group(heads, keys, values, k, factor, scores, partial[k * G : (k + 1) * G])


@summing_kernel
def _attend_group(
    q: Array, keys: Array, values: Array, k: int, factor: float, scores: Array, partial: Array
) -> None:
    """Softmax over one stretch: Σ_j e_j v_j, the largest score, Σ_j e_j with e_j = exp(score_j - largest).

    Shapes: q (G, E); keys, values (S, K, E), of which head k is read; scores (G, at least S); partial (G, E + 2).
    """
    G, E = q.shape
    S = len(keys)
    real = q.dtype.type
    zero, lowest = real(0), real(-np.inf)
    for j in range(S):
        key = keys[j, k]
        for g in range(G):
            head = q[g]
            total = zero
            for e in range(E):
                total += head[e] * key[e]
            scores[g, j] = total * factor
    for g in range(G):
        row, result = scores[g, :S], partial[g]
        highest = ordered_bits(lowest)
        for j in range(S):
            highest = max(highest, ordered_bits(row[j]))
        largest = from_ordered_bits(highest)
        total = zero
        for j in range(S):
            weight = exp(row[j] - largest)
            row[j] = weight
            total += weight
        for e in range(E):
            result[e] = zero
        result[E], result[E + 1] = largest, total
    fours = S // 4 * 4
    for j in range(0, fours, 4):
        v0, v1, v2, v3 = values[j, k], values[j + 1, k], values[j + 2, k], values[j + 3, k]
        for g in range(G):
            result = partial[g]
            p0, p1, p2, p3 = scores[g, j], scores[g, j + 1], scores[g, j + 2], scores[g, j + 3]
            for e in range(E):
                result[e] += (p0 * v0[e] + p1 * v1[e]) + (p2 * v2[e] + p3 * v3[e])
    for j in range(fours, S):
        value = values[j, k]
        for g in range(G):
            result, p0 = partial[g], scores[g, j]
            for e in range(E):
                result[e] += p0 * value[e]


@summing_kernel
def join(partial: Array, mixed: Array) -> None:
    """Put the stretches of positions together: partial (W, N, H, E + 2) to mixed (N, H·E).

    With m_w the largest score of stretch w and m that of all,

        y = Σ_w exp(m_w - m) part_w / Σ_w exp(m_w - m) total_w

    Who may attend to nothing gets zeros.
    """
    W, N, H = partial.shape[:3]
    E = partial.shape[3] - 2
    real = mixed.dtype.type
    zero, lowest = real(0), real(-np.inf)
    for n in range(N):
        for h in range(H):
            result = mixed[n, h * E : (h + 1) * E]
            for e in range(E):
                result[e] = zero
            largest = lowest
            for w in range(W):
                if partial[w, n, h, E] > largest:
                    largest = partial[w, n, h, E]
            total = zero
            for w in range(W):
                if partial[w, n, h, E + 1] != zero:  # an empty stretch has no score; NaN is passed on
                    total += exp(partial[w, n, h, E] - largest) * partial[w, n, h, E + 1]
            for w in range(W):
                if partial[w, n, h, E + 1] != zero:
                    weight = exp(partial[w, n, h, E] - largest) / total
                    part = partial[w, n, h, :E]
                    for e in range(E):
                        result[e] += weight * part[e]
