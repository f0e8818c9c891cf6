"""GELU, exact: y = x Φ(x) with the normal distribution function Φ.

Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(x: Float[np.ndarray, "*N"]) -> tuple[Float[np.ndarray, "*N"], Any]:
    """Weigh x by the probability that a standard normal variable is below it: y = x Φ(x)."""
    return x * _normal_cdf(x), x


def backward(saved: Any, dy: Float[np.ndarray, "*N"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    The derivative of Φ is the normal density φ(x) = exp(-x²/2) / sqrt(2π), so by the product rule

        dx = dy · (Φ(x)          (x as the factor)
                   + x φ(x))     (x inside Φ)
    """
    x = saved
    density = np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return (dy * (_normal_cdf(x) + x * density),)


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    """Φ(x) = erfc(-x/√2) / 2, which unlike (1 + erf(x/√2)) / 2 does not cancel for negative x."""
    from scipy.special import erfc

    return 0.5 * np.asarray(erfc(x * -math.sqrt(0.5)))


def torch_twin(x: Any) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    return functional.gelu(x)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """The curved middle and both tails."""
    yield Sample("middle", (rng.normal(size=(2, 3, 4)),))
    yield Sample("tails", (rng.normal(size=(3, 4)) * 4,))
    yield Sample("large", (rng.normal(size=(37, 301)) * 2,), large=True)


gelu = define(
    "gelu",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2",
    cheap=True,
)
