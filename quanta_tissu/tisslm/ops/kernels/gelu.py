"""Exact GELU in one pass; otherwise identical to `ops/gelu.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.engine.vector_math import normal_cdf_and_density
from quanta_tissu.tisslm.ops.kernels.layout import flat

Array = NDArray[Any]


def forward(x: Float[np.ndarray, "*N"]) -> tuple[Float[np.ndarray, "*N"], Any]:
    """As `ops/gelu.py`."""
    flat_x = flat(x)
    y = np.empty_like(flat_x)
    _forward(flat_x, y)
    return y.reshape(x.shape), flat_x


def backward(saved: Any, dy: Float[np.ndarray, "*N"]) -> tuple[np.ndarray]:
    """As `ops/gelu.py`."""
    dx = np.empty_like(saved)
    _backward(saved, flat(dy), dx)
    return (dx.reshape(dy.shape),)


@kernel
def _forward(x: Array, y: Array) -> None:
    """Shapes: x, y (N)."""
    for i in range(x.size):
        cdf, _ = normal_cdf_and_density(x[i])
        y[i] = x[i] * cdf


@kernel
def _backward(x: Array, dy: Array, dx: Array) -> None:
    """Shapes: x, dy, dx (N)."""
    for i in range(x.size):
        cdf, density = normal_cdf_and_density(x[i])
        dx[i] = dy[i] * (cdf + x[i] * density)
