"""GELU's tanh approximation in one pass; otherwise identical to `ops/gelu_tanh.py`.

It uses (1 + tanh u) / 2 = σ(2u), one exponential.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.engine.vector_math import sigmoid
from quanta_tissu.tisslm.ops.kernels.layout import flat

Array = NDArray[Any]

_TWICE_SCALE, _CUBIC = math.sqrt(8 / math.pi), 0.044715


def forward(x: Float[np.ndarray, "*N"]) -> tuple[Float[np.ndarray, "*N"], Any]:
    """As `ops/gelu_tanh.py`."""
    flat_x = flat(x)
    y = np.empty_like(flat_x)
    _forward(flat_x, y)
    return y.reshape(x.shape), flat_x


def backward(saved: Any, dy: Float[np.ndarray, "*N"]) -> tuple[np.ndarray]:
    """As `ops/gelu_tanh.py`."""
    dx = np.empty_like(saved)
    _backward(saved, flat(dy), dx)
    return (dx.reshape(dy.shape),)


@kernel
def _forward(x: Array, y: Array) -> None:
    """Shapes: x, y (N)."""
    real = x.dtype.type
    one, slope, cubic = real(1), real(_TWICE_SCALE), real(_CUBIC)
    for i in range(x.size):
        y[i] = x[i] * sigmoid(slope * x[i] * (one + cubic * x[i] * x[i]))


@kernel
def _backward(x: Array, dy: Array, dx: Array) -> None:
    """Shapes: x, dy, dx (N)."""
    real = x.dtype.type
    one, slope, cubic, three_cubic = real(1), real(_TWICE_SCALE), real(_CUBIC), real(3 * _CUBIC)
    for i in range(x.size):
        square = x[i] * x[i]
        s = sigmoid(slope * x[i] * (one + cubic * square))
        dx[i] = dy[i] * (s + x[i] * s * (one - s) * slope * (one + three_cubic * square))
