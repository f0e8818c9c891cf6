"""Layer norm, passes over a row that is then in the nearest cache; otherwise identical to `ops/layer_norm.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import summing_kernel
from quanta_tissu.tisslm.ops.kernels.layout import rows

Array = NDArray[Any]


def forward(
    x: Float[np.ndarray, "*N D"],
    weight: Float[np.ndarray, " D"],
    bias: Float[np.ndarray, " D"] | None = None,
    *,
    eps: float,
) -> tuple[Float[np.ndarray, "*N D"], Any]:
    """As `ops/layer_norm.py`."""
    rows_x, weight = rows(x), np.ascontiguousarray(weight)
    shift = np.zeros_like(weight) if bias is None else np.ascontiguousarray(bias)
    y = np.empty_like(rows_x)
    mean, inverse_std = np.empty(len(rows_x), x.dtype), np.empty(len(rows_x), x.dtype)
    _forward(rows_x, weight, shift, eps, y, mean, inverse_std)
    return y.reshape(x.shape), (rows_x, weight, mean, inverse_std, bias is not None)


def backward(saved: Any, dy: Float[np.ndarray, "*N D"]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """As `ops/layer_norm.py`."""
    rows_x, weight, mean, inverse_std, has_bias = saved
    rows_dy, dx = rows(dy), np.empty_like(rows_x)
    dweight = np.zeros_like(weight)
    _backward(rows_x, weight, mean, inverse_std, rows_dy, dx, dweight)
    return dx.reshape(dy.shape), dweight, np.sum(rows_dy, axis=0) if has_bias else None


@summing_kernel
def _forward(x: Array, weight: Array, bias: Array, eps: float, y: Array, mean: Array, inverse_std: Array) -> None:
    """Shapes: x, y (N, D); weight, bias (D); mean, inverse_std (N)."""
    N, D = x.shape
    real = x.dtype.type
    for n in range(N):
        total = real(0)
        for j in range(D):
            total += x[n, j]
        centre = total / real(D)
        squares = real(0)
        for j in range(D):
            squares += (x[n, j] - centre) * (x[n, j] - centre)
        r = real(1 / np.sqrt(np.float64(squares) / D + eps))
        mean[n], inverse_std[n] = centre, r
        for j in range(D):
            y[n, j] = (x[n, j] - centre) * r * weight[j] + bias[j]


@summing_kernel
def _backward(
    x: Array, weight: Array, mean: Array, inverse_std: Array, dy: Array, dx: Array, dweight: Array
) -> None:
    """Shapes: x, dy, dx (N, D); weight, dweight (D), dweight zero at first; mean, inverse_std (N)."""
    N, D = x.shape
    real = x.dtype.type
    for n in range(N):
        centre, r = mean[n], inverse_std[n]
        total, along = real(0), real(0)
        for j in range(D):
            g = dy[n, j] * weight[j]
            total += g
            along += g * ((x[n, j] - centre) * r)
        total /= real(D)
        along /= real(D)
        for j in range(D):
            x_hat = (x[n, j] - centre) * r
            dx[n, j] = r * (dy[n, j] * weight[j] - total - x_hat * along)
            dweight[j] += dy[n, j] * x_hat
