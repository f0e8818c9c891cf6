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
attention. Only `_product` and `_embed` read matrices.

Letters: N tokens of this pass; D model width, H heads, K key-value heads, G = H / K, E head width, F width of the
feed-forward layer, V vocabulary, L layers, B rows of the cache, C its capacity, W threads, P parameters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.barrier import meet
from quanta_tissu.tisslm.engine.jit import summing_kernel
from quanta_tissu.tisslm.engine.vector_math import (
    exp,
    from_ordered_bits,
    normal_cdf_and_density,
    ordered_bits,
    sigmoid,
)

Array = NDArray[Any]

# Columns of the table of offsets: where the parameters of a block begin in the flat buffer; ABSENT if it has none.
ATTENTION_NORM, ATTENTION_SHIFT, QKV, QKV_BIAS, OUT, OUT_BIAS = range(6)
FORWARD_NORM, FORWARD_SHIFT, UP, UP_BIAS, DOWN, DOWN_BIAS = range(6, 12)
BLOCK_OFFSETS = 12
ABSENT = -1

SWIGLU, GELU, GELU_TANH, RELU = range(4)
NO_ROTATION, HALVES, NEIGHBOURS = range(3)

_ROWS = 16  # of a matrix, which all tokens go through before the next ones are read

_GELU_TANH_SLOPE, _GELU_TANH_CUBIC = float(np.sqrt(8 / np.pi)), 0.044715


class Model(NamedTuple):
    """What does not change from pass to pass.

    Attributes:
        weights: All parameters (P).
        offsets: Of the parameters of every block (L, BLOCK_OFFSETS).
        embedding: Offset of the token embedding (V, D).
        positions: Offset of the learned positions (C, D), or ABSENT.
        waves: Vectors added to the embedding by position (C, D), or none (0, 0).
        final_norm: Offset of the weight of the norm before the output matrix, or ABSENT.
        final_shift: Offset of its bias, or ABSENT.
        head: Offset of the output matrix (V, D).
        vocabulary: V.
        heads: H.
        wide: F.
        layer_norm: Whether norms subtract the mean.
        eps: Added to the variance in norms.
        residual_from_norm: Whether a sub-layer is added to its normalised input (norms after the sum).
        activation: SWIGLU, GELU, GELU_TANH or RELU.
        rotation: NO_ROTATION, HALVES or NEIGHBOURS.
        cos: By position (C, E/2); none (0, 0) without rotation.
        sin: The same.
        window: Positions that a token sees, 0 for all.
    """

    weights: Array
    offsets: NDArray[np.int64]
    embedding: int
    positions: int
    waves: Array
    final_norm: int
    final_shift: int
    head: int
    vocabulary: int
    heads: int
    wide: int
    layer_norm: bool
    eps: float
    residual_from_norm: bool
    activation: int
    rotation: int
    cos: Array
    sin: Array
    window: int


class Workspace(NamedTuple):
    """Buffers of a pass; those with W are one for each thread, the others shared.

    M is N, padded as `padded` says; what stands in the rows beyond N does not matter, as long as it is finite.

    Attributes:
        x: The residual stream (M, D).
        qkv: Queries, keys and values (M, (H + 2K)·E).
        up: Output of the first feed-forward matrix (M, F); for SwiGLU the gate and the value (M, 2F).
        hidden: The same after the activation (M, F).
        y: Output of the matrices that write to the residual stream (M, D).
        partial: For every stretch of positions and every head the weighted sum of the values, the largest score
            and the sum of the weights (W, N, H, E + 2).
        normed: Normalised input of a sub-layer (W, M, D).
        mixed: Output of attention (W, M, H·E).
        query: Rotated queries of one token (W, H·E).
        scores: Of one group of heads (W, G, C).
        logits: (B, padded, V).
    """

    x: Array
    qkv: Array
    up: Array
    hidden: Array
    y: Array
    partial: Array
    normed: Array
    mixed: Array
    query: Array
    scores: Array
    logits: Array


class Tokens(NamedTuple):
    """The tokens of a pass.

    Attributes:
        ids: (N).
        positions: (N).
        rows: Row of the cache that each belongs to (N).
        columns: Where in that row it is stored (N).
        starts: First column of that row that is no padding (N).
        last: The tokens whose logits are wanted (B).
        single: Whether no row has more than one token.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    starts: NDArray[np.int64]
    last: NDArray[np.int64]
    single: bool


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
    work: Workspace,
) -> None:
    """Compute `work.logits` and store the tokens' keys and values.

    Shapes: keys, values (L, B, C, K, E).
    """
    weights, offsets = model.weights, model.offsets
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

    if worker == 0:
        _embed(model, tokens, work.x)
    meet(barrier, met)
    for layer in range(L):
        at = offsets[layer]
        _norm(model, at[ATTENTION_NORM], at[ATTENTION_SHIFT], work.x, normed)
        _product(weights, at[QKV], normed, q0, q1, work.qkv)
        _add_bias(weights, at[QKV_BIAS], q0, q1, work.qkv)
        met += workers
        meet(barrier, met)

        if not tokens.single:
            n0, n1 = _share(N, worker, workers)
            _store(model, tokens, n0, n1, work.qkv, keys[layer], values[layer])
            met += workers
            meet(barrier, met)
        elif worker == workers - 1:  # it alone attends to the newest positions
            _store(model, tokens, 0, N, work.qkv, keys[layer], values[layer])
        _attend(model, tokens, worker, workers, keys[layer], values[layer], work)
        met += workers
        meet(barrier, met)

        _join(work.partial, mixed)
        _product(weights, at[OUT], mixed, d0, d1, work.y)
        _add_bias(weights, at[OUT_BIAS], d0, d1, work.y)
        _add(base, work.y, d0, d1, work.x)
        met += workers
        meet(barrier, met)

        _norm(model, at[FORWARD_NORM], at[FORWARD_SHIFT], work.x, normed)
        for first in range(0, up_size, F):  # for SwiGLU the gate, then the value, for the same columns
            _product(weights, at[UP], normed, first + f0, first + f1, work.up)
            _add_bias(weights, at[UP_BIAS], first + f0, first + f1, work.up)
        _activate(model.activation, f0, f1, work.up, work.hidden)
        met += workers
        meet(barrier, met)

        _product(weights, at[DOWN], work.hidden, d0, d1, work.y)
        _add_bias(weights, at[DOWN_BIAS], d0, d1, work.y)
        _add(base, work.y, d0, d1, work.x)
        met += workers
        meet(barrier, met)

    for row in range(len(tokens.last)):
        n = tokens.last[row]
        _norm(model, model.final_norm, model.final_shift, work.x[n : n + 1], normed[row : row + 1])
    v0, v1 = _share(model.vocabulary, worker, workers)
    _product(weights, model.head, normed[: len(work.logits)], v0, v1, work.logits)


@summing_kernel
def _share(size: int, worker: int, workers: int) -> tuple[int, int]:
    """The worker's part of `size` rows; cut at multiples of 16 where possible, so that no cache line is shared."""
    pieces = -(-size // 16)
    return min(size, pieces * worker // workers * 16), min(size, pieces * (worker + 1) // workers * 16)


@summing_kernel
def _embed(model: Model, tokens: Tokens, x: Array) -> None:
    """Token embeddings with their positions added."""
    D = x.shape[1]
    for n in range(len(tokens.ids)):
        first = model.embedding + tokens.ids[n] * D
        x[n] = model.weights[first : first + D]
        if model.positions != ABSENT:
            first = model.positions + tokens.positions[n] * D
            vector = model.weights[first : first + D]
            for j in range(D):
                x[n, j] += vector[j]
        if model.waves.size > 0:
            vector = model.waves[tokens.positions[n]]
            for j in range(D):
                x[n, j] += vector[j]


@summing_kernel
def _norm(model: Model, weight: int, shift: int, x: Array, y: Array) -> None:
    """RMS norm or layer norm of the rows of x (N, D); a copy where there is no norm."""
    D = x.shape[1]
    real = x.dtype.type
    if weight == ABSENT:
        y[: len(x)] = x
        return
    scale = model.weights[weight : weight + D]
    for n in range(len(x)):
        row, result = x[n], y[n]
        centre = real(0)
        if model.layer_norm:
            for j in range(D):
                centre += row[j]
            centre /= real(D)
        squares = real(0)
        for j in range(D):
            squares += (row[j] - centre) * (row[j] - centre)
        r = real(1 / np.sqrt(np.float64(squares) / D + model.eps))
        for j in range(D):
            result[j] = (row[j] - centre) * r * scale[j]
        if shift != ABSENT:
            bias = model.weights[shift : shift + D]
            for j in range(D):
                result[j] += bias[j]


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
def _add_bias(weights: Array, offset: int, lo: int, hi: int, y: Array) -> None:
    """Add the bias at `offset`, if there is one, to columns lo to hi."""
    if offset == ABSENT:
        return
    bias = weights[offset + lo : offset + hi]
    for n in range(len(y)):
        row = y[n, lo:hi]
        for j in range(row.size):
            row[j] += bias[j]


@summing_kernel
def _add(base: Array, y: Array, lo: int, hi: int, x: Array) -> None:
    """Make columns lo to hi of x the sum of base and y."""
    for n in range(len(x)):
        a, b, c = base[n, lo:hi], y[n, lo:hi], x[n, lo:hi]
        for j in range(c.size):
            c[j] = a[j] + b[j]


@summing_kernel
def _activate(kind: int, lo: int, hi: int, up: Array, hidden: Array) -> None:
    """Apply the activation to columns lo to hi; for SwiGLU the values stand F columns further right."""
    F = hidden.shape[1]
    real = up.dtype.type
    zero, one = real(0), real(1)
    slope, cubic = real(_GELU_TANH_SLOPE), real(_GELU_TANH_CUBIC)
    for n in range(len(up)):
        a, y = up[n, lo:hi], hidden[n, lo:hi]
        if kind == SWIGLU:
            value = up[n, F + lo : F + hi]
            for j in range(y.size):
                y[j] = a[j] * sigmoid(a[j]) * value[j]
        elif kind == GELU:
            for j in range(y.size):
                y[j] = a[j] * normal_cdf_and_density(a[j])[0]
        elif kind == GELU_TANH:
            for j in range(y.size):
                y[j] = a[j] * sigmoid(slope * a[j] * (one + cubic * a[j] * a[j]))
        else:
            for j in range(y.size):
                y[j] = zero if a[j] < zero else a[j]


@summing_kernel
def _rotate(model: Model, position: int, x: Array, y: Array) -> None:
    """Rotate the heads that follow each other in x; or copy them."""
    if model.rotation == NO_ROTATION:
        y[:] = x
        return
    cos, sin = model.cos[position], model.sin[position]
    R = cos.size
    for first in range(0, x.size, 2 * R):
        a, b = x[first : first + 2 * R], y[first : first + 2 * R]
        if model.rotation == HALVES:
            for i in range(R):
                b[i] = a[i] * cos[i] - a[R + i] * sin[i]
                b[R + i] = a[R + i] * cos[i] + a[i] * sin[i]
        else:
            for i in range(R):
                b[2 * i] = a[2 * i] * cos[i] - a[2 * i + 1] * sin[i]
                b[2 * i + 1] = a[2 * i + 1] * cos[i] + a[2 * i] * sin[i]


@summing_kernel
def _store(model: Model, tokens: Tokens, n0: int, n1: int, qkv: Array, keys: Array, values: Array) -> None:
    """Put keys, rotated, and values of tokens n0 to n1 into the cache (B, C, K, E)."""
    K, E = keys.shape[2:]
    for n in range(n0, n1):
        row, column = tokens.rows[n], tokens.columns[n]
        queries = model.heads * E
        _rotate(model, tokens.positions[n], qkv[n, queries : queries + K * E], keys[row, column].reshape(K * E))
        values[row, column] = qkv[n, queries + K * E : queries + 2 * K * E].reshape(K, E)


@summing_kernel
def _attend(
    model: Model, tokens: Tokens, worker: int, workers: int, keys: Array, values: Array, work: Workspace
) -> None:
    """Attention of all tokens and heads over the worker's stretch of the positions; keys, values (B, C, K, E).

    The stretch of a token is a part of what it sees, so a row's result does not depend on the rows beside it. The
    last stretch has the token's own position.
    """
    K, E = keys.shape[2:]
    G = model.heads // K
    query = work.query[worker]
    real = query.dtype.type
    factor = real(1 / np.sqrt(E))
    for n in range(len(tokens.rows)):
        end = tokens.columns[n] + 1
        start = tokens.starts[n]
        if model.window > 0:
            start = max(start, end - model.window)
        seen = max(0, end - start)
        first, stop = start + seen * worker // workers, start + seen * (worker + 1) // workers
        _rotate(model, tokens.positions[n], work.qkv[n, : K * G * E], query)
        for k in range(K):
            _attend_group(
                query[k * G * E : (k + 1) * G * E].reshape(G, E),
                keys[tokens.rows[n], first:stop],
                values[tokens.rows[n], first:stop],
                k,
                factor,
                work.scores[worker],
                work.partial[worker, n, k * G : (k + 1) * G],
            )


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
        result[:E] = zero
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
def _join(partial: Array, mixed: Array) -> None:
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
            result[:] = zero
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
