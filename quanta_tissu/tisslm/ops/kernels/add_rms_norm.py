"""Residual add and RMS norm, two passes over a row; otherwise identical to `ops/add_rms_norm.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel, summing_kernel
from quanta_tissu.tisslm.ops.kernels.layout import rows

Array = NDArray[Any]


def forward(
    x: Float[np.ndarray, "*N D"], y: Float[np.ndarray, "*N D"], weight: Float[np.ndarray, " D"], *, eps: float
) -> tuple[tuple[Float[np.ndarray, "*N D"], Float[np.ndarray, "*N D"]], Any]:
    """As `ops/add_rms_norm.py`."""
    s, n, weight = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype), np.ascontiguousarray(weight)
    inverse_rms = np.empty(x.size // x.shape[-1], x.dtype)
    _forward(rows(x), rows(y), weight, eps, rows(s), rows(n), inverse_rms)
    return (s, n), (s, weight, inverse_rms)


def backward(
    saved: Any, ds: Float[np.ndarray, "*N D"], dn: Float[np.ndarray, "*N D"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `ops/add_rms_norm.py`."""
    s, weight, inverse_rms = saved
    dx, dweight = np.empty(s.shape, s.dtype), np.zeros_like(weight)
    _backward(rows(s), weight, inverse_rms, rows(ds), rows(dn), rows(dx), dweight)
    return dx, dx, dweight


def again(saved: Any) -> Float[np.ndarray, "*N D"]:
    """As `ops/add_rms_norm.py`."""
    s, weight, inverse_rms = saved
    n = np.empty(s.shape, s.dtype)
    _again(rows(s), weight, inverse_rms, rows(n))
    return n


@summing_kernel
def _forward(x: Array, y: Array, weight: Array, eps: float, s: Array, n: Array, inverse_rms: Array) -> None:
    """Shapes: x, y, s, n (N, D); weight (D); inverse_rms (N)."""
    N, D = x.shape
    real = x.dtype.type
    for i in range(N):
        squares = real(0)
        for j in range(D):
            total = x[i, j] + y[i, j]
            s[i, j] = total
            squares += total * total
        r = real(1 / np.sqrt(np.float64(squares) / D + eps))
        inverse_rms[i] = r
        for j in range(D):
            n[i, j] = s[i, j] * r * weight[j]


@kernel
def _again(s: Array, weight: Array, inverse_rms: Array, n: Array) -> None:
    """Shapes: s, n (N, D); weight (D); inverse_rms (N)."""
    for i in range(len(s)):
        for j in range(len(weight)):
            n[i, j] = s[i, j] * inverse_rms[i] * weight[j]


@summing_kernel
def _backward(
    s: Array, weight: Array, inverse_rms: Array, ds: Array, dn: Array, dx: Array, dweight: Array
) -> None:
    """Shapes: s, ds, dn, dx (N, D); weight, dweight (D), dweight zero at first; inverse_rms (N)."""
    N, D = s.shape
    real = s.dtype.type
    for i in range(N):
        r = inverse_rms[i]
        along = real(0)
        for j in range(D):
            along += dn[i, j] * weight[j] * s[i, j]
        along *= r * r / real(D)
        for j in range(D):
            dx[i, j] = ds[i, j] + r * (dn[i, j] * weight[j] - s[i, j] * along)
            dweight[j] += dn[i, j] * (s[i, j] * r)
