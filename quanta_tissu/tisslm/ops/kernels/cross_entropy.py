"""Cross-entropy: one pass for normaliser, one for gradient; otherwise identical to `ops/cross_entropy.py`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel, summing_kernel
from quanta_tissu.tisslm.engine.vector_math import exp, from_ordered_bits, ordered_bits
from quanta_tissu.tisslm.ops.cross_entropy import not_a_token
from quanta_tissu.tisslm.ops.kernels.layout import rows

Array = NDArray[Any]


def forward(
    logits: Float[np.ndarray, "*N V"],
    *,
    targets: Int[np.ndarray, "*N"],
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    denominator: float | int | None = None,
) -> tuple[Float[np.ndarray, ""], Any]:
    """As `ops/cross_entropy.py`."""
    rows_logits = rows(logits)
    tokens, scale = prepare(targets, ignore_index, denominator, rows_logits.shape[1])
    largest, log_sum = np.empty(len(tokens), logits.dtype), np.empty(len(tokens), logits.dtype)
    total = losses(rows_logits, tokens, ignore_index, label_smoothing, z_loss, largest, log_sum)
    saved = (rows_logits, largest, log_sum, tokens, ignore_index, label_smoothing, z_loss, scale, logits.shape)
    return np.asarray(total * scale, logits.dtype), saved


def backward(saved: Any, dloss: Float[np.ndarray, ""]) -> tuple[np.ndarray]:
    """As `ops/cross_entropy.py`."""
    logits, largest, log_sum, tokens, ignore_index, label_smoothing, z_loss, scale, shape = saved
    dlogits = logits.copy()
    become_gradients(
        dlogits, largest, log_sum, tokens, ignore_index, label_smoothing, z_loss, scale * float(dloss)
    )
    return (dlogits.reshape(shape),)


def prepare(
    targets: Int[np.ndarray, "*N"], ignore_index: int, denominator: float | int | None, vocab_size: int
) -> tuple[Array, float]:
    """Targets as the kernels want them, and the factor on the sum of the losses.

    Raises:
        DataError: A target is neither a token nor `ignore_index`.
    """
    tokens = np.ascontiguousarray(targets, np.int64).reshape(-1)
    valid, wrong = _count(tokens, ignore_index, vocab_size)
    if wrong >= 0:
        raise not_a_token(int(tokens[wrong]), vocab_size, ignore_index)
    return tokens, 1 / (max(1, valid) if denominator is None else denominator)


@kernel
def _count(tokens: Array, ignore_index: int, vocab_size: int) -> tuple[int, int]:
    """Number of tokens that are not ignored, and the place of one that does not exist, or -1."""
    valid, wrong = 0, -1
    for n in range(len(tokens)):
        if tokens[n] != ignore_index:
            valid += 1
            if tokens[n] < 0 or tokens[n] >= vocab_size:
                wrong = n
    return valid, wrong


@summing_kernel
def losses(
    logits: Array,
    tokens: Array,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
    largest: Array,
    log_sum: Array,
) -> float:
    """Sum of the losses of all rows.

    Shapes: logits (N, V), tokens (N), checked by `prepare`. The normaliser is kept in two parts (N), largest +
    log_sum, so that large logits do not cost the probabilities their digits.
    """
    N, V = logits.shape
    real = logits.dtype.type
    loss = 0.0
    for n in range(N):
        key = ordered_bits(real(-np.inf))
        for j in range(V):
            key = max(key, ordered_bits(logits[n, j]))
        top = from_ordered_bits(key)
        total = real(0)
        for j in range(V):
            total += exp(logits[n, j] - top)
        log_total = math.log(np.float64(total))
        normaliser = log_total + np.float64(top)
        largest[n], log_sum[n] = top, log_total
        token = tokens[n]
        if token == ignore_index:
            continue
        loss += log_total - (1.0 - label_smoothing) * np.float64(logits[n, token] - top)
        loss += z_loss * normaliser * normaliser
        if label_smoothing != 0.0:
            uniform = real(0)
            for j in range(V):
                uniform += logits[n, j] - top
            loss -= label_smoothing * np.float64(uniform) / V
    return loss


@kernel
def become_gradients(
    logits: Array,
    largest: Array,
    log_sum: Array,
    tokens: Array,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
    scale: float,
) -> None:
    """Turn logits (N, V) in place into their gradients times `scale`; largest, log_sum (N) are `losses`'."""
    N, V = logits.shape
    real = logits.dtype.type
    everywhere, at_target = real(scale * label_smoothing / V), real(scale * (1.0 - label_smoothing))
    for n in range(N):
        if tokens[n] == ignore_index:
            logits[n, :] = real(0)
            continue
        top, log_total = largest[n], log_sum[n]
        factor = real(scale * (1.0 + 2.0 * z_loss * (np.float64(top) + np.float64(log_total))))
        for j in range(V):
            logits[n, j] = factor * exp((logits[n, j] - top) - log_total) - everywhere
        logits[n, tokens[n]] -= at_target
