"""Reshape: the same elements in the same order under another shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(x: Float[np.ndarray, "..."], *, shape: tuple[int, ...]) -> tuple[Float[np.ndarray, "..."], Any]:
    """Give x another shape of as many elements (row-major order; one size may be -1)."""
    return x.reshape(shape), x.shape


def backward(saved: Any, dy: Float[np.ndarray, "..."]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y: elements keep their order, so the gradient takes the old shape back."""
    return (dy.reshape(saved),)


def torch_twin(x: Any, *, shape: tuple[int, ...]) -> Any:
    """The same in PyTorch."""
    return x.reshape(shape)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Heads apart and together again."""
    yield Sample("split an axis", (rng.normal(size=(2, 3, 8)),), {"shape": (2, 3, 4, 2)})
    yield Sample("join axes", (rng.normal(size=(2, 3, 4, 2)),), {"shape": (2, 3, -1)})


reshape = define(
    "reshape",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="permutation of elements; its adjoint is its inverse",
)
