"""Hyperbolic tangent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(x: Float[np.ndarray, "*N"]) -> tuple[Float[np.ndarray, "*N"], Any]:
    """Squash elementwise: y = tanh(x)."""
    y = np.asarray(np.tanh(x))
    return y, y


def backward(saved: Any, dy: Float[np.ndarray, "*N"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    tanh = sinh / cosh and cosh² - sinh² = 1 give ∂y/∂x = 1 - y²:

        dx = dy · (1 - y²)
    """
    y = saved
    return (np.asarray(dy * (1 - y * y)),)


def torch_twin(x: Any) -> Any:
    """The same in PyTorch."""
    return x.tanh()


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """The curved middle."""
    yield Sample("middle", (rng.normal(size=(2, 3, 4)),))
    yield Sample("scalar", (rng.normal(size=()),))
    yield Sample("large", (rng.normal(size=(37, 301)),), large=True)


tanh = define(
    "tanh",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="NIST DLMF 4.34.4 and 4.35.12",
)
