"""Softmax, passes over a row that is then in the nearest cache; otherwise identical to `ops/softmax.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import summing_kernel
from quanta_tissu.tisslm.engine.vector_math import exp, from_ordered_bits, ordered_bits
from quanta_tissu.tisslm.ops.kernels.layout import rows

Array = NDArray[Any]


def forward(x: Float[np.ndarray, "*N V"]) -> tuple[Float[np.ndarray, "*N V"], Any]:
    """As `ops/softmax.py`."""
    rows_x = rows(x)
    y = np.empty_like(rows_x)
    _forward(rows_x, y)
    return y.reshape(x.shape), y


def backward(saved: Any, dy: Float[np.ndarray, "*N V"]) -> tuple[np.ndarray]:
    """As `ops/softmax.py`."""
    dx = np.empty_like(saved)
    _backward(saved, rows(dy), dx)
    return (dx.reshape(dy.shape),)


@summing_kernel
def _forward(x: Array, y: Array) -> None:
    """Shapes: x, y (N, V)."""
    N, V = x.shape
    real = x.dtype.type
    for n in range(N):
        key = ordered_bits(real(-np.inf))
        for j in range(V):
            key = max(key, ordered_bits(x[n, j]))
        largest = from_ordered_bits(key)
        total = real(0)
        for j in range(V):
            e = exp(x[n, j] - largest)
            y[n, j] = e
            total += e
        factor = real(1) / total
        for j in range(V):
            y[n, j] *= factor


@summing_kernel
def _backward(y: Array, dy: Array, dx: Array) -> None:
    """Shapes: y, dy, dx (N, V)."""
    N, V = y.shape
    real = y.dtype.type
    for n in range(N):
        along = real(0)
        for j in range(V):
            along += dy[n, j] * y[n, j]
        for j in range(V):
            dx[n, j] = y[n, j] * (dy[n, j] - along)
