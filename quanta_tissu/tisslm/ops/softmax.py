"""Softmax over the last axis (Bridle 1990, "Training stochastic model recognition algorithms as networks")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(x: Float[np.ndarray, "*N V"]) -> tuple[Float[np.ndarray, "*N V"], Any]:
    """Normalise exponentials: y_i = exp(x_i) / Σ_j exp(x_j).

    The row's maximum is subtracted first, which changes nothing mathematically and cannot overflow. An x_i of -inf
    gives y_i = 0; a row of nothing else has no distribution and gives NaN.
    """
    y = np.exp(x - np.max(x, axis=-1, keepdims=True))
    y /= np.sum(y, axis=-1, keepdims=True)
    return y, y


def backward(saved: Any, dy: Float[np.ndarray, "*N V"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    With ∂y_i/∂x_j = y_i ([i = j] - y_j),

        dx_j = y_j dy_j                  (through the numerator)
             - y_j Σ_i dy_i y_i          (through the normaliser)
    """
    y = saved
    return (y * (dy - np.sum(dy * y, axis=-1, keepdims=True)),)


def torch_twin(x: Any) -> Any:
    """The same in PyTorch."""
    return x.softmax(dim=-1)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Ordinary rows, and rows that would overflow without the shift."""
    x = rng.normal(size=(2, 3, 5))
    yield Sample("ordinary", (x,))
    yield Sample("values of 1000", (x[0] + 1e3,))
    yield Sample("large", (rng.normal(size=(37, 1031)) * 3,), large=True)


softmax = define(
    "softmax",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Bridle 1990, NIPS 2, eq. 1",
)
