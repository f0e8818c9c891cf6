"""Raise to a constant power."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(x: Float[np.ndarray, "*N"], *, exponent: float | int) -> tuple[Float[np.ndarray, "*N"], Any]:
    """Raise elementwise: y = xⁿ."""
    return np.asarray(x**exponent), (x, exponent)


def backward(saved: Any, dy: Float[np.ndarray, "*N"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    dx = dy · n xⁿ⁻¹      (zero everywhere, also at x = 0, for n = 0)
    """
    x, exponent = saved
    if exponent == 0:
        return (np.zeros_like(x),)
    return (np.asarray(dy * (exponent * x ** (exponent - 1))),)


def torch_twin(x: Any, *, exponent: float | int) -> Any:
    """The same in PyTorch."""
    return x**exponent


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """A square of any sign; a reciprocal and a root of positive numbers; the constant one."""
    x = rng.normal(size=(2, 3))
    yield Sample("square", (x,), {"exponent": 2})
    yield Sample("cube", (x,), {"exponent": 3})
    yield Sample("reciprocal", (0.5 + abs(x),), {"exponent": -1.0})
    yield Sample("root", (0.5 + abs(x),), {"exponent": 0.5})
    yield Sample("constant", (x,), {"exponent": 0})
    yield Sample("scalar", (rng.uniform(1, 2, size=()),), {"exponent": -2})


power = define(
    "power",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="power rule",
)
