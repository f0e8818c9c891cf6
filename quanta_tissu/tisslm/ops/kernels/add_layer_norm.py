"""Residual add and layer norm, passes over a row in the nearest cache; otherwise as `ops/add_layer_norm.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel, summing_kernel
from quanta_tissu.tisslm.ops.kernels.layout import rows

Array = NDArray[Any]


def forward(
    x: Float[np.ndarray, "*N D"],
    y: Float[np.ndarray, "*N D"],
    weight: Float[np.ndarray, " D"],
    bias: Float[np.ndarray, " D"] | None = None,
    *,
    eps: float,
) -> tuple[tuple[Float[np.ndarray, "*N D"], Float[np.ndarray, "*N D"]], Any]:
    """As `ops/add_layer_norm.py`."""
    s, n, weight = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype), np.ascontiguousarray(weight)
    shift = np.zeros_like(weight) if bias is None else np.ascontiguousarray(bias)
    mean, inverse_std = np.empty((2, x.size // x.shape[-1]), x.dtype)
    _forward(rows(x), rows(y), weight, shift, eps, rows(s), rows(n), mean, inverse_std)
    return (s, n), (s, weight, shift, mean, inverse_std, bias is not None)


def backward(
    saved: Any, ds: Float[np.ndarray, "*N D"], dn: Float[np.ndarray, "*N D"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """As `ops/add_layer_norm.py`."""
    s, weight, _, mean, inverse_std, has_bias = saved
    dx, dweight = np.empty(s.shape, s.dtype), np.zeros_like(weight)
    _backward(rows(s), weight, mean, inverse_std, rows(ds), rows(dn), rows(dx), dweight)
    return dx, dx, dweight, np.sum(rows(dn), axis=0) if has_bias else None


def again(saved: Any) -> Float[np.ndarray, "*N D"]:
    """As `ops/add_layer_norm.py`."""
    s, weight, shift, mean, inverse_std, _ = saved
    n = np.empty(s.shape, s.dtype)
    _again(rows(s), weight, shift, mean, inverse_std, rows(n))
    return n


@summing_kernel
def _forward(
    x: Array, y: Array, weight: Array, bias: Array, eps: float, s: Array, n: Array, mean: Array, inverse_std: Array
) -> None:
    """Shapes: x, y, s, n (N, D); weight, bias (D); mean, inverse_std (N)."""
    N, D = x.shape
    real = x.dtype.type
    for i in range(N):
        total = real(0)
        for j in range(D):
            s[i, j] = x[i, j] + y[i, j]
            total += s[i, j]
        centre = total / real(D)
        squares = real(0)
        for j in range(D):
            squares += (s[i, j] - centre) * (s[i, j] - centre)
        r = real(1 / np.sqrt(np.float64(squares) / D + eps))
        mean[i], inverse_std[i] = centre, r
        for j in range(D):
            n[i, j] = (s[i, j] - centre) * r * weight[j] + bias[j]


@kernel
def _again(s: Array, weight: Array, bias: Array, mean: Array, inverse_std: Array, n: Array) -> None:
    """Shapes: s, n (N, D); weight, bias (D); mean, inverse_std (N)."""
    for i in range(len(s)):
        for j in range(len(weight)):
            n[i, j] = (s[i, j] - mean[i]) * inverse_std[i] * weight[j] + bias[j]


@summing_kernel
def _backward(
    s: Array, weight: Array, mean: Array, inverse_std: Array, ds: Array, dn: Array, dx: Array, dweight: Array
) -> None:
    """Shapes: s, ds, dn, dx (N, D); weight, dweight (D), dweight zero at first; mean, inverse_std (N)."""
    N, D = s.shape
    real = s.dtype.type
    for i in range(N):
        centre, r = mean[i], inverse_std[i]
        total, along = real(0), real(0)
        for j in range(D):
            g = dn[i, j] * weight[j]
            total += g
            along += g * ((s[i, j] - centre) * r)
        total /= real(D)
        along /= real(D)
        for j in range(D):
            s_hat = (s[i, j] - centre) * r
            dx[i, j] = ds[i, j] + r * (dn[i, j] * weight[j] - total - s_hat * along)
            dweight[j] += dn[i, j] * s_hat
