"""ReLU: y = max(x, 0) (Nair & Hinton 2010, "Rectified linear units improve restricted Boltzmann machines")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(x: Float[np.ndarray, "*N"]) -> tuple[Float[np.ndarray, "*N"], Any]:
    """Cut off what is negative: y = max(x, 0)."""
    return np.asarray(np.maximum(x, 0)), x > 0


def backward(saved: Any, dy: Float[np.ndarray, "*N"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    The slope is 1 above zero and 0 below; at zero itself it is undefined and taken as 0:

        dx = dy · [x > 0]
    """
    positive = saved
    return (np.asarray(dy * positive),)


def torch_twin(x: Any) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    return functional.relu(x)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Both sides of the kink, at least 0.1 away from it."""
    x = rng.normal(size=(2, 3, 4))
    yield Sample("both signs", (x + np.copysign(0.1, x),))
    yield Sample("scalar", (rng.uniform(1, 2, size=()),))
    yield Sample("large", (rng.normal(size=(37, 301)),), large=True)


relu = define(
    "relu",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Nair & Hinton 2010, ICML, section 2",
    cheap=True,
)
