"""Cross-entropy: one pass for normaliser, one for gradient; otherwise identical to `ops/cross_entropy.py`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel, summing_kernel
from quanta_tissu.tisslm.engine.vector_math import exp, from_ordered_bits, ordered_bits
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
    tokens = np.ascontiguousarray(targets, np.int64).reshape(-1)
    largest, log_sum = np.empty(len(tokens), logits.dtype), np.empty(len(tokens), logits.dtype)
    total, valid, in_range = _forward(rows_logits, tokens, ignore_index, label_smoothing, z_loss, largest, log_sum)
    if not in_range:
        _refuse(logits, targets, ignore_index)
    scale = 1 / (max(1, valid) if denominator is None else denominator)
    saved = (rows_logits, largest, log_sum, tokens, ignore_index, label_smoothing, z_loss, scale, logits.shape)
    return np.asarray(total * scale, logits.dtype), saved


def backward(saved: Any, dloss: Float[np.ndarray, ""]) -> tuple[np.ndarray]:
    """As `ops/cross_entropy.py`."""
    logits, largest, log_sum, tokens, ignore_index, label_smoothing, z_loss, scale, shape = saved
    dlogits = np.empty_like(logits)
    scale *= float(dloss)
    _backward(logits, largest, log_sum, tokens, ignore_index, label_smoothing, z_loss, scale, dlogits)
    return (dlogits.reshape(shape),)


def _refuse(logits: Array, targets: Array, ignore_index: int) -> None:
    """Raise the readable op's error for a target that is no token."""
    from quanta_tissu.tisslm.ops.cross_entropy import forward as readable

    readable(logits, targets=targets, ignore_index=ignore_index)


@summing_kernel
def _forward(
    logits: Array,
    tokens: Array,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
    largest: Array,
    log_sum: Array,
) -> tuple[float, int, bool]:
    """Sum of the losses, number of valid rows, and whether all targets are tokens.

    Shapes: logits (N, V), tokens (N). The normaliser is kept in two parts (N), largest + log_sum, so that large
    logits do not cost the probabilities their digits.
    """
    N, V = logits.shape
    real = logits.dtype.type
    loss, valid, in_range = 0.0, 0, True
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
        if token < 0 or token >= V:
            in_range = False
            continue
        valid += 1
        loss += log_total - (1.0 - label_smoothing) * np.float64(logits[n, token] - top)
        loss += z_loss * normaliser * normaliser
        if label_smoothing != 0.0:
            uniform = real(0)
            for j in range(V):
                uniform += logits[n, j] - top
            loss -= label_smoothing * np.float64(uniform) / V
    return loss, valid, in_range


@kernel
def _backward(
    logits: Array,
    largest: Array,
    log_sum: Array,
    tokens: Array,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
    scale: float,
    dlogits: Array,
) -> None:
    """Shapes: logits, dlogits (N, V); largest, log_sum, tokens (N)."""
    N, V = logits.shape
    real = logits.dtype.type
    everywhere, at_target = real(scale * label_smoothing / V), real(scale * (1.0 - label_smoothing))
    for n in range(N):
        if tokens[n] == ignore_index:
            dlogits[n, :] = real(0)
            continue
        top, log_total = largest[n], log_sum[n]
        factor = real(scale * (1.0 + 2.0 * z_loss * (np.float64(top) + np.float64(log_total))))
        for j in range(V):
            dlogits[n, j] = factor * exp((logits[n, j] - top) - log_total) - everywhere
        dlogits[n, tokens[n]] -= at_target
