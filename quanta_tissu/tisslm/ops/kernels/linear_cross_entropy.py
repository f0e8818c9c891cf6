"""Output projection and cross-entropy, some rows at a time; otherwise identical to `ops/linear_cross_entropy.py`.

The logits of a few hundred rows are computed into memory that the thread keeps for that, become their own
gradients in place, and are used up by both gradients' products before the next rows come. So there are never more
logits than these, nothing is computed twice, and backward has nothing left to do.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.gradient import Gradient, RowGradient
from quanta_tissu.tisslm.engine.memory import scratch
from quanta_tissu.tisslm.ops.kernels.cross_entropy import Terms, become_gradients, losses, prepare
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
    **terms: Any,
) -> tuple[Float[np.ndarray, ""], Any]:
    """As `ops/linear_cross_entropy.py`; `terms` are those of `prepare`."""
    dweight = np.empty(weight.shape, weight.dtype)

    def collect(span: slice, dlogits: Array, part: Array) -> None:
        if span.start == 0:
            np.matmul(dlogits.T, part, out=dweight)
        else:
            for block in _blocks(weight):
                dweight[block] += dlogits[:, block].T @ part

    if not targets.size:
        dweight.fill(0)
    loss, dx = _both_passes(x, weight, prepare(targets, len(weight), **terms), 1.0, collect)
    return loss, (dx, dweight)


def backward(saved: Any, dloss: Float[np.ndarray, ""]) -> tuple[np.ndarray, np.ndarray]:
    """As `ops/linear_cross_entropy.py`; both gradients are there already, for dloss = 1."""
    dx, dweight = saved
    return (dx, dweight) if dloss == 1 else (dx * dloss, dweight * dloss)


def differentiate(
    x: Float[np.ndarray, "*N D"],
    weight: Float[np.ndarray, "V D"],
    *,
    d_output: float,
    receive: Callable[[int, Gradient], None],
    targets: Int[np.ndarray, "*N"],
    **terms: Any,
) -> Float[np.ndarray, ""]:
    """Both passes, without an array as large as the weight: its gradient is handed on some rows at a time."""

    def hand_on(span: slice, dlogits: Array, part: Array) -> None:
        blocks = _blocks(weight)
        for block in blocks:
            dweight = dlogits[:, block].T @ part
            receive(1, RowGradient(block, dweight, len(weight)) if len(blocks) > 1 else dweight)

    loss, dx = _both_passes(x, weight, prepare(targets, len(weight), **terms), d_output, hand_on)
    receive(0, dx)
    return loss


def value(
    x: Float[np.ndarray, "*N D"],
    weight: Float[np.ndarray, "V D"],
    *,
    targets: Int[np.ndarray, "*N"],
    **terms: Any,
) -> Float[np.ndarray, ""]:
    """The loss alone, for a third of the products."""
    x_rows, prepared, loss = rows(x), prepare(targets, len(weight), **terms), 0.0
    for span in _spans(x_rows, weight):
        loss += losses(_logits(x_rows[span], weight), _of_rows(prepared, span))[0]
    return np.asarray(loss * prepared.scale, x.dtype)


def _both_passes(
    x: Array,
    weight: Array,
    terms: Terms,
    d_loss: float,
    use: Callable[[slice, Array, Array], None],
) -> tuple[Array, Array]:
    """The loss and dx; `use(span, dlogits, x[span])` sees all that dW is made of, some rows after the other."""
    x_rows, dx = rows(x), np.empty(x.shape, x.dtype)
    dx_rows, loss = dx.reshape(x_rows.shape), 0.0
    for span in _spans(x_rows, weight):
        logits, some = _logits(x_rows[span], weight), _of_rows(terms, span)
        part, largest, log_sum = losses(logits, some)
        loss += part
        become_gradients(logits, largest, log_sum, some, d_loss)
        np.matmul(logits, weight, out=dx_rows[span])
        use(span, logits, x_rows[span])
    return np.asarray(loss * terms.scale, x.dtype), dx


def _of_rows(terms: Terms, span: slice) -> Terms:
    return terms._replace(tokens=terms.tokens[span])


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


def _blocks(weight: Array) -> list[slice]:
    """Rows of the weight whose gradient is made at a time."""
    step = max(1, _GRADIENT_ELEMENTS // weight.shape[1])
    return [slice(start, min(start + step, len(weight))) for start in range(0, len(weight), step)]
