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

from typing import Any

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
from quanta_tissu.tisslm.generate.compiled.arguments import Model, Rotation, Tokens, Workspace

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

    if worker == 0:
        _embed(weights, model.embedding, tokens.ids, work.x)
        _add_positions(weights, model.positions, model.waves, tokens.positions, work.x)
    meet(barrier, met)
    for layer in range(L):
        at = offsets[layer]
        _norm(weights, at[ATTENTION_NORM], at[ATTENTION_SHIFT], layer_norm, eps, work.x, normed)
        _product(weights, at[QKV], normed, q0, q1, work.qkv)
        _add_bias(weights, at[QKV_BIAS], q0, q1, work.qkv)
        met += workers
        meet(barrier, met)

        # Of a single token it is the last worker alone that attends to the newest position.
        for n in range(N):
            if worker == (workers - 1 if tokens.single else n % workers):
                position, row, column = tokens.positions[n], tokens.rows[n], tokens.columns[n]
                _store(
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
            _rotate(rotation, tokens.positions[n], work.qkv[n, : H * E], work.query[worker])
            _attend(
                work.query[worker],
                keys[layer, tokens.rows[n], first:stop],
                values[layer, tokens.rows[n], first:stop],
                work.scores[worker],
                work.partial[worker, n],
            )
        met += workers
        meet(barrier, met)

        _join(work.partial, mixed)
        _product(weights, at[OUT], mixed, d0, d1, work.y)
        _add_bias(weights, at[OUT_BIAS], d0, d1, work.y)
        _add(base, work.y, d0, d1, work.x)
        met += workers
        meet(barrier, met)

        _norm(weights, at[FORWARD_NORM], at[FORWARD_SHIFT], layer_norm, eps, work.x, normed)
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
        one, result = work.x[n : n + 1], normed[row : row + 1]
        _norm(weights, model.final_norm, model.final_shift, layer_norm, eps, one, result)
    v0, v1 = _share(model.vocabulary, worker, workers)
    _product(weights, model.head, normed[: len(work.logits)], v0, v1, work.logits)


@summing_kernel
def _share(size: int, worker: int, workers: int) -> tuple[int, int]:
    """The worker's part of `size` rows; cut at multiples of 16 where possible, so that no cache line is shared."""
    pieces = -(-size // 16)
    return min(size, pieces * worker // workers * 16), min(size, pieces * (worker + 1) // workers * 16)


@summing_kernel
def _copy(x: Array, y: Array) -> None:
    """Copy a vector; as an assignment of a slice it would take half a second longer to compile, at every place."""
    for j in range(x.size):
        y[j] = x[j]


@summing_kernel
def _embed(weights: Array, offset: int, ids: NDArray[np.int64], x: Array) -> None:
    """Copy the tokens' rows of the embedding."""
    D = x.shape[1]
    for n in range(len(ids)):
        first = offset + ids[n] * D
        _copy(weights[first : first + D], x[n])


@summing_kernel
def _add_positions(weights: Array, offset: int, waves: Array, positions: NDArray[np.int64], x: Array) -> None:
    """Add the vectors of the positions, learned ones or waves, if there are any."""
    D = x.shape[1]
    if offset == ABSENT and waves.size == 0:
        return
    for n in range(len(positions)):
        row = x[n]
        if offset == ABSENT:
            vector = waves[positions[n]]
        else:
            first = offset + positions[n] * D
            vector = weights[first : first + D]
        for j in range(D):
            row[j] += vector[j]


@summing_kernel
def _norm(weights: Array, weight: int, shift: int, layer_norm: bool, eps: float, x: Array, y: Array) -> None:
    """RMS norm or layer norm of the rows of x (N, D); a copy where there is no norm."""
    D = x.shape[1]
    real = x.dtype.type
    if weight == ABSENT:
        for n in range(len(x)):
            _copy(x[n], y[n])
        return
    scale = weights[weight : weight + D]
    for n in range(len(x)):
        row, result = x[n], y[n]
        centre = real(0)
        if layer_norm:
            for j in range(D):
                centre += row[j]
            centre /= real(D)
        squares = real(0)
        for j in range(D):
            squares += (row[j] - centre) * (row[j] - centre)
        r = real(1 / np.sqrt(np.float64(squares) / D + eps))
        for j in range(D):
            result[j] = (row[j] - centre) * r * scale[j]
        if shift != ABSENT:
            bias = weights[shift : shift + D]
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
def _rotate(rotation: Rotation, position: int, x: Array, y: Array) -> None:
    """Rotate the heads that follow each other in x; or copy them."""
    if rotation.kind == NO_ROTATION:
        _copy(x, y)
        return
    cos, sin = rotation.cos[position], rotation.sin[position]
    R = cos.size
    for first in range(0, x.size, 2 * R):
        a, b = x[first : first + 2 * R], y[first : first + 2 * R]
        if rotation.kind == HALVES:
            for i in range(R):
                b[i] = a[i] * cos[i] - a[R + i] * sin[i]
                b[R + i] = a[R + i] * cos[i] + a[i] * sin[i]
        else:
            for i in range(R):
                b[2 * i] = a[2 * i] * cos[i] - a[2 * i + 1] * sin[i]
                b[2 * i + 1] = a[2 * i + 1] * cos[i] + a[2 * i] * sin[i]


@summing_kernel
def _store(rotation: Rotation, position: int, new: Array, key: Array, value: Array) -> None:
    """Put the key, rotated, and the value of one token into the cache: new (2K·E); key, value (K, E)."""
    size = key.size
    _rotate(rotation, position, new[:size], key.reshape(size))
    _copy(new[size:], value.reshape(size))


@summing_kernel
def _attend(query: Array, keys: Array, values: Array, scores: Array, partial: Array) -> None:
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
