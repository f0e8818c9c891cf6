"""Cross-entropy: one pass for normaliser, one for gradient; otherwise identical to `ops/cross_entropy.py`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel, summing_kernel
from quanta_tissu.tisslm.engine.vector_math import exp, from_ordered_bits, ordered_bits
from quanta_tissu.tisslm.ops.cross_entropy import not_a_token
from quanta_tissu.tisslm.ops.kernels.layout import rows

Array = NDArray[Any]


class Terms(NamedTuple):
    """What the losses of rows are made of, as kernels want it.

    Attributes:
        tokens: The true token of each row (N), all of them tokens or `ignore_index`.
        ignore_index: Rows with this target count for nothing.
        label_smoothing: ε.
        z_loss: z.
        scale: Factor on the sum of the losses.
    """

    tokens: Array
    ignore_index: int
    label_smoothing: float
    z_loss: float
    scale: float


def forward(
    logits: Float[np.ndarray, "*N V"], *, targets: Int[np.ndarray, "*N"], **terms: Any
) -> tuple[Float[np.ndarray, ""], Any]:
    """As `ops/cross_entropy.py`; `terms` are those of `prepare`."""
    rows_logits = rows(logits)
    prepared = prepare(targets, rows_logits.shape[1], **terms)
    total, largest, log_sum = losses(rows_logits, prepared)
    saved = (rows_logits, largest, log_sum, prepared, logits.shape)
    return np.asarray(total * prepared.scale, logits.dtype), saved


def backward(saved: Any, dloss: Float[np.ndarray, ""]) -> tuple[np.ndarray]:
    """As `ops/cross_entropy.py`."""
    logits, largest, log_sum, terms, shape = saved
    dlogits = logits.copy()
    become_gradients(dlogits, largest, log_sum, terms, float(dloss))
    return (dlogits.reshape(shape),)


def prepare(
    targets: Int[np.ndarray, "*N"],
    vocab_size: int,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    denominator: float | int | None = None,
) -> Terms:
    """What the kernels want, from the attributes of the op.

    Raises:
        DataError: A target is neither a token nor `ignore_index`.
    """
    tokens = np.ascontiguousarray(targets, np.int64).reshape(-1)
    valid, wrong = _count(tokens, ignore_index, vocab_size)
    if wrong >= 0:
        raise not_a_token(int(tokens[wrong]), vocab_size, ignore_index)
    scale = 1 / (max(1, valid) if denominator is None else denominator)
    return Terms(tokens, ignore_index, float(label_smoothing), float(z_loss), scale)


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
def losses(logits: Array, terms: Terms) -> tuple[float, Array, Array]:
    """Sum of the losses of all rows of logits (N, V), not yet scaled, and their normalisers.

    These are kept in two parts (N), largest + log_sum, so that large logits do not cost the probabilities their
    digits.
    """
    N, V = logits.shape
    real = logits.dtype.type
    largest, log_sum = np.empty(N, logits.dtype), np.empty(N, logits.dtype)
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
        token = terms.tokens[n]
        if token == terms.ignore_index:
            continue
        loss += log_total - (1.0 - terms.label_smoothing) * np.float64(logits[n, token] - top)
        loss += terms.z_loss * normaliser * normaliser
        if terms.label_smoothing != 0.0:
            uniform = real(0)
            for j in range(V):
                uniform += logits[n, j] - top
            loss -= terms.label_smoothing * np.float64(uniform) / V
    return loss, largest, log_sum


@kernel
def become_gradients(logits: Array, largest: Array, log_sum: Array, terms: Terms, d_loss: float) -> None:
    """Turn logits (N, V) in place into their gradients; largest and log_sum (N) are those of `losses`."""
    N, V = logits.shape
    real = logits.dtype.type
    scale = terms.scale * d_loss
    everywhere, at_target = real(scale * terms.label_smoothing / V), real(scale * (1.0 - terms.label_smoothing))
    for n in range(N):
        if terms.tokens[n] == terms.ignore_index:
            logits[n, :] = real(0)
            continue
        top, log_total = largest[n], log_sum[n]
        factor = real(scale * (1.0 + 2.0 * terms.z_loss * (np.float64(top) + np.float64(log_total))))
        for j in range(V):
            logits[n, j] = factor * exp((logits[n, j] - top) - log_total) - everywhere
        logits[n, terms.tokens[n]] -= at_target
