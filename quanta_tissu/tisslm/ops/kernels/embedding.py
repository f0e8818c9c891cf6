"""Embedding, its gradient summed in a loop (`np.add.at` is slow); otherwise identical to `ops/embedding.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.ops.embedding import forward
from quanta_tissu.tisslm.ops.kernels.layout import rows

__all__ = ["backward", "forward"]

Array = NDArray[Any]


def backward(saved: Any, dy: Float[np.ndarray, "*N D"]) -> tuple[np.ndarray]:
    """As `ops/embedding.py`."""
    ids, shape = saved
    dweight = np.zeros(shape, dy.dtype)
    _backward(np.ascontiguousarray(ids, np.int64).reshape(-1), rows(dy), dweight)
    return (dweight,)


@kernel
def _backward(ids: Array, dy: Array, dweight: Array) -> None:
    """Shapes: ids (N); dy (N, D); dweight (V, D), zero at first."""
    N, D = dy.shape
    for n in range(N):
        row = ids[n]
        for j in range(D):
            dweight[row, j] += dy[n, j]
