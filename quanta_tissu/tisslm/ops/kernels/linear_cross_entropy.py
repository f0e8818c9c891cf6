"""Output projection and cross-entropy, some rows at a time; otherwise identical to `ops/linear_cross_entropy.py`.

The logits of a few hundred rows are computed into memory that the thread keeps for that, become their own
gradients in place, and are used up by both gradients' products before the next rows come. So there are never more
logits than these, nothing is computed twice, and backward has nothing left to do.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.memory import scratch
from quanta_tissu.tisslm.ops.kernels.cross_entropy import become_gradients, losses, prepare
from quanta_tissu.tisslm.ops.kernels.layout import rows

Array = NDArray[Any]

# Logits at a time: as many as fit into 64 MiB, but at least 128 rows. Every set of rows reads the weight twice and
# reads and writes its gradient, which costs less the more rows there are (docs/experiments.md).
_LOGITS_BYTES = 64 * 2**20
_LEAST_ROWS = 128
# Elements of the weight's gradient at a time: 4 MiB in float32, added up while they are in the cache.
_GRADIENT_ELEMENTS = 2**20


def forward(
    x: Float[np.ndarray, "*N D"],
    weight: Float[np.ndarray, "V D"],
    *,
    targets: Int[np.ndarray, "*N"],
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    denominator: float | int | None = None,
) -> tuple[Float[np.ndarray, ""], Any]:
    """As `ops/linear_cross_entropy.py`."""
    x_rows = rows(x)
    tokens, scale = prepare(targets, ignore_index, denominator, len(weight))
    dx, dweight = np.empty(x.shape, x.dtype), np.empty(weight.shape, weight.dtype)
    dx_rows = dx.reshape(x_rows.shape)
    if not len(tokens):
        dweight.fill(0)
    loss = 0.0
    for span in _spans(x_rows, weight):
        logits, chunk = _logits(x_rows[span], weight), tokens[span]
        largest, log_sum = np.empty(len(chunk), x.dtype), np.empty(len(chunk), x.dtype)
        loss += losses(logits, chunk, ignore_index, label_smoothing, z_loss, largest, log_sum)
        become_gradients(logits, largest, log_sum, chunk, ignore_index, label_smoothing, z_loss, scale)
        np.matmul(logits, weight, out=dx_rows[span])
        if span.start == 0:
            np.matmul(logits.T, x_rows[span], out=dweight)
        else:
            _add_product(logits, x_rows[span], dweight)
    return np.asarray(loss * scale, x.dtype), (dx, dweight)


def backward(saved: Any, dloss: Float[np.ndarray, ""]) -> tuple[np.ndarray, np.ndarray]:
    """As `ops/linear_cross_entropy.py`; both gradients are there already, for dloss = 1."""
    dx, dweight = saved
    return (dx, dweight) if dloss == 1 else (dx * dloss, dweight * dloss)


def value(
    x: Float[np.ndarray, "*N D"],
    weight: Float[np.ndarray, "V D"],
    *,
    targets: Int[np.ndarray, "*N"],
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    denominator: float | int | None = None,
) -> Float[np.ndarray, ""]:
    """The loss alone, for a third of the products."""
    x_rows = rows(x)
    tokens, scale = prepare(targets, ignore_index, denominator, len(weight))
    loss = 0.0
    for span in _spans(x_rows, weight):
        logits, chunk = _logits(x_rows[span], weight), tokens[span]
        largest, log_sum = np.empty(len(chunk), x.dtype), np.empty(len(chunk), x.dtype)
        loss += losses(logits, chunk, ignore_index, label_smoothing, z_loss, largest, log_sum)
    return np.asarray(loss * scale, x.dtype)


def rows_at_a_time(vocab_size: int, itemsize: int) -> int:
    """The largest number of rows whose logits are there at a time."""
    return max(_LEAST_ROWS, _LOGITS_BYTES // (vocab_size * itemsize))


def _spans(x: Array, weight: Array) -> list[slice]:
    """Cut the rows of x into as few pieces of about equal length as the limit on logits allows."""
    pieces = -(-len(x) // rows_at_a_time(len(weight), x.itemsize))
    cuts = [len(x) * i // max(1, pieces) for i in range(pieces + 1)]
    return [slice(a, b) for a, b in pairwise(cuts)]


def _logits(x: Array, weight: Array) -> Array:
    """Logits (rows of x, V) in the thread's memory for the moment."""
    return np.matmul(x, weight.T, out=scratch((len(x), len(weight)), x.dtype))


def _add_product(dlogits: Array, x: Array, dweight: Array) -> None:
    """Add dlogitsᵀ x to dweight (V, D), so many rows of it at a time that no large array is made."""
    step = max(1, _GRADIENT_ELEMENTS // x.shape[1])
    for start in range(0, len(dweight), step):
        part = dweight[start : start + step]
        part += dlogits[:, start : start + step].T @ x
