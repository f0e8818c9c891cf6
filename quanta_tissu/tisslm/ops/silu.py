"""SiLU: y = x σ(x) with the logistic function σ (Elfwing et al. 2017, arXiv:1702.03118, eq. 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(x: Float[np.ndarray, "*N"]) -> tuple[Float[np.ndarray, "*N"], Any]:
    """Weigh x by its own logistic: y = x σ(x)."""
    return x * sigmoid(x), x


def backward(saved: Any, dy: Float[np.ndarray, "*N"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    With ∂σ/∂x = σ (1 - σ), by the product rule

        dx = dy · (σ                  (x as the factor)
                   + x σ (1 - σ))     (x inside σ)
    """
    x = saved
    s = sigmoid(x)
    return (dy * (s + x * s * (1 - s)),)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """σ(x) = 1 / (1 + exp(-x)) = exp(x) / (1 + exp(x)), whichever cannot overflow; accurate in both tails."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, e) / (1 + e))


def torch_twin(x: Any) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    return functional.silu(x)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """The curved middle and both tails."""
    yield Sample("middle", (rng.normal(size=(2, 3, 4)),))
    yield Sample("tails", (rng.normal(size=(3, 4)) * 8,))
    yield Sample("large", (rng.normal(size=(37, 301)) * 4,), large=True)


silu = define(
    "silu",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Elfwing et al. 2017, arXiv:1702.03118, eq. 4",
    cheap=True,
)
