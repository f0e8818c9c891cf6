"""GELU in GPT-2's tanh approximation (Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define

SCALE = math.sqrt(2 / math.pi)
CUBIC = 0.044715


def forward(x: Float[np.ndarray, "*N"]) -> tuple[Float[np.ndarray, "*N"], Any]:
    """Approximate x Φ(x): y = x (1 + t) / 2 with t = tanh(u), u = sqrt(2/π) (x + 0.044715 x³)."""
    t = np.tanh(SCALE * (x + CUBIC * x * x * x))
    return 0.5 * x * (1 + t), (x, t)


def backward(saved: Any, dy: Float[np.ndarray, "*N"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    ∂t/∂u = 1 - t² and ∂u/∂x = sqrt(2/π) (1 + 3 · 0.044715 x²), so by the product rule

        dx = dy · ((1 + t) / 2                  (x as the factor)
                   + x (1 - t²) ∂u/∂x / 2)      (x inside the tanh)
    """
    x, t = saved
    du = SCALE * (1 + 3 * CUBIC * x * x)
    return (dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * du),)


def torch_twin(x: Any) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    return functional.gelu(x, approximate="tanh")


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """The curved middle and both tails."""
    yield Sample("middle", (rng.normal(size=(2, 3, 4)),))
    yield Sample("tails", (rng.normal(size=(3, 4)) * 3,))


gelu_tanh = define(
    "gelu_tanh",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2",
)
