"""SwiGLU in one pass; otherwise identical to `ops/swiglu.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.engine.vector_math import sigmoid
from quanta_tissu.tisslm.ops.kernels.layout import rows

Array = NDArray[Any]


def forward(x: Float[np.ndarray, "*N F2"]) -> tuple[Float[np.ndarray, "*N F"], Any]:
    """As `ops/swiglu.py`."""
    rows_x = rows(x)
    y = np.empty((len(rows_x), x.shape[-1] // 2), x.dtype)
    _forward(rows_x, y)
    return y.reshape(*x.shape[:-1], y.shape[-1]), rows_x


def backward(saved: Any, dy: Float[np.ndarray, "*N F"]) -> tuple[np.ndarray]:
    """As `ops/swiglu.py`."""
    dx = np.empty_like(saved)
    _backward(saved, rows(dy), dx)
    return (dx.reshape(*dy.shape[:-1], dx.shape[-1]),)


@kernel
def _forward(x: Array, y: Array) -> None:
    """Shapes: x (N, 2F); y (N, F)."""
    N, F = y.shape
    for n in range(N):
        for j in range(F):
            gate = x[n, j]
            y[n, j] = gate * sigmoid(gate) * x[n, F + j]


@kernel
def _backward(x: Array, dy: Array, dx: Array) -> None:
    """Shapes: x, dx (N, 2F); dy (N, F)."""
    N, F = dy.shape
    one = x.dtype.type(1)
    for n in range(N):
        for j in range(F):
            gate, value = x[n, j], x[n, F + j]
            s = sigmoid(gate)
            dx[n, j] = dy[n, j] * value * (s + gate * s * (one - s))
            dx[n, F + j] = dy[n, j] * gate * s
