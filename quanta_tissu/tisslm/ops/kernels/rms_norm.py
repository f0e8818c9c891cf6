"""RMS norm, two passes over a row that is then in the nearest cache; otherwise identical to `ops/rms_norm.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import summing_kernel
from quanta_tissu.tisslm.ops.kernels.layout import rows

Array = NDArray[Any]


def forward(
    x: Float[np.ndarray, "*N D"], weight: Float[np.ndarray, " D"], *, eps: float
) -> tuple[Float[np.ndarray, "*N D"], Any]:
    """As `ops/rms_norm.py`."""
    rows_x, weight = rows(x), np.ascontiguousarray(weight)
    y, inverse_rms = np.empty_like(rows_x), np.empty(len(rows_x), x.dtype)
    _forward(rows_x, weight, eps, y, inverse_rms)
    return y.reshape(x.shape), (rows_x, weight, inverse_rms)


def backward(saved: Any, dy: Float[np.ndarray, "*N D"]) -> tuple[np.ndarray, np.ndarray]:
    """As `ops/rms_norm.py`."""
    rows_x, weight, inverse_rms = saved
    dx, dweight = np.empty_like(rows_x), np.zeros_like(weight)
    _backward(rows_x, weight, inverse_rms, rows(dy), dx, dweight)
    return dx.reshape(dy.shape), dweight


@summing_kernel
def _forward(x: Array, weight: Array, eps: float, y: Array, inverse_rms: Array) -> None:
    """Shapes: x, y (N, D); weight (D); inverse_rms (N)."""
    N, D = x.shape
    real = x.dtype.type
    for n in range(N):
        squares = real(0)
        for j in range(D):
            squares += x[n, j] * x[n, j]
        r = real(1 / np.sqrt(np.float64(squares) / D + eps))
        inverse_rms[n] = r
        for j in range(D):
            y[n, j] = x[n, j] * r * weight[j]


@summing_kernel
def _backward(x: Array, weight: Array, inverse_rms: Array, dy: Array, dx: Array, dweight: Array) -> None:
    """Shapes: x, dy, dx (N, D); weight, dweight (D), dweight zero at first; inverse_rms (N)."""
    N, D = x.shape
    real = x.dtype.type
    for n in range(N):
        r = inverse_rms[n]
        along = real(0)
        for j in range(D):
            along += dy[n, j] * weight[j] * x[n, j]
        along *= r * r / real(D)
        for j in range(D):
            dx[n, j] = r * (dy[n, j] * weight[j] - x[n, j] * along)
            dweight[j] += dy[n, j] * (x[n, j] * r)
