"""GELU in GPT-2's tanh approximation (Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define
from quanta_tissu.tisslm.ops.silu import sigmoid

SCALE = math.sqrt(2 / math.pi)
CUBIC = 0.044715


def forward(x: Float[np.ndarray, "*N"]) -> tuple[Float[np.ndarray, "*N"], Any]:
    """Approximate x Φ(x): y = x (1 + tanh(u)) / 2 with u = sqrt(2/π) (x + 0.044715 x³).

    (1 + tanh(u)) / 2 is the logistic function s = σ(2u), which unlike the sum does not cancel for negative u.
    """
    s = sigmoid(2 * SCALE * (x + CUBIC * x * x * x))
    return x * s, (x, s)


def backward(saved: Any, dy: Float[np.ndarray, "*N"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    ∂s/∂u = 2 s (1 - s) and ∂u/∂x = sqrt(2/π) (1 + 3 · 0.044715 x²), so by the product rule

        dx = dy · (s                            (x as the factor)
                   + x · 2 s (1 - s) ∂u/∂x)     (x inside the tanh)
    """
    x, s = saved
    du = SCALE * (1 + 3 * CUBIC * x * x)
    return (dy * (s + 2 * x * s * (1 - s) * du),)


def torch_twin(x: Any) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    return functional.gelu(x, approximate="tanh")


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """The curved middle and both tails."""
    yield Sample("middle", (rng.normal(size=(2, 3, 4)),))
    yield Sample("tails", (rng.normal(size=(3, 4)) * 3,))
    yield Sample("large", (rng.normal(size=(37, 301)),), large=True)


gelu_tanh = define(
    "gelu_tanh",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2",
    cheap=True,
)
