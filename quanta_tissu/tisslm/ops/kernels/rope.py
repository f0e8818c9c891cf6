"""Rotary positions in one pass; otherwise identical to `ops/rope.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel

Array = NDArray[Any]


def forward(
    x: Float[np.ndarray, "B T H E"],
    *,
    cos: Float[np.ndarray, "#B T R"],
    sin: Float[np.ndarray, "#B T R"],
    interleaved: bool = False,
    heads: int | None = None,
) -> tuple[Float[np.ndarray, "B T H E"], Any]:
    """As `ops/rope.py`."""
    cos, sin = np.ascontiguousarray(cos, x.dtype), np.ascontiguousarray(sin, x.dtype)
    heads = x.shape[2] if heads is None else heads
    return _rotated(x, cos, sin, interleaved, heads, 1.0), (cos, sin, interleaved, heads)


def backward(saved: Any, dy: Float[np.ndarray, "B T H E"]) -> tuple[np.ndarray]:
    """As `ops/rope.py`."""
    cos, sin, interleaved, heads = saved
    return (_rotated(dy, cos, sin, interleaved, heads, -1.0),)


def _rotated(x: Array, cos: Array, sin: Array, interleaved: bool, heads: int, direction: float) -> Array:
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    (_rotate_neighbours if interleaved else _rotate_halves)(x, cos, sin, heads, direction, y)
    return y


@kernel
def _rotate_halves(x: Array, cos: Array, sin: Array, heads: int, direction: float, y: Array) -> None:
    """Shapes: x, y (B, T, H, E); cos, sin (B or 1, T, E/2); direction 1, or -1 for the opposite angles."""
    B, T, H, E = x.shape
    R = E // 2
    sign = x.dtype.type(direction)
    for b in range(B):
        c = b if cos.shape[0] > 1 else 0
        for t in range(T):
            for h in range(heads):
                for i in range(R):
                    first, second, s = x[b, t, h, i], x[b, t, h, R + i], sign * sin[c, t, i]
                    y[b, t, h, i] = first * cos[c, t, i] - second * s
                    y[b, t, h, R + i] = second * cos[c, t, i] + first * s
            for h in range(heads, H):
                for i in range(E):
                    y[b, t, h, i] = x[b, t, h, i]


@kernel
def _rotate_neighbours(x: Array, cos: Array, sin: Array, heads: int, direction: float, y: Array) -> None:
    """As `_rotate_halves`, with pairs (2i, 2i + 1)."""
    B, T, H, E = x.shape
    sign = x.dtype.type(direction)
    for b in range(B):
        c = b if cos.shape[0] > 1 else 0
        for t in range(T):
            for h in range(heads):
                for i in range(E // 2):
                    first, second, s = x[b, t, h, 2 * i], x[b, t, h, 2 * i + 1], sign * sin[c, t, i]
                    y[b, t, h, 2 * i] = first * cos[c, t, i] - second * s
                    y[b, t, h, 2 * i + 1] = second * cos[c, t, i] + first * s
            for h in range(heads, H):
                for i in range(E):
                    y[b, t, h, i] = x[b, t, h, i]
