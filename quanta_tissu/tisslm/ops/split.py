"""Split the last axis into consecutive pieces."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(
    x: Float[np.ndarray, "*N D"], *, sizes: tuple[int, ...]
) -> tuple[tuple[Float[np.ndarray, "*N _"], ...], Any]:
    """Cut the last axis: piece k is x[..., a_k : a_k + sizes[k]] with a_k = sizes[0] + … + sizes[k-1]; all views.

    Raises:
        ValueError: The sizes do not add up to the width of x.
    """
    if sum(sizes) != x.shape[-1]:
        raise ValueError(f"cannot split a width of {x.shape[-1]} into pieces of {sizes}: they sum to {sum(sizes)}")
    bounds = pairwise(accumulate(sizes, initial=0))
    return tuple(x[..., start:end] for start, end in bounds), None


def backward(saved: Any, *d_pieces: Float[np.ndarray, "*N _"]) -> tuple[np.ndarray]:
    """Differentiate L(pieces), given ∂L/∂ each piece.

    Every element of x is in exactly one piece, unchanged, so the gradient is the pieces' gradients side by side.
    """
    return (np.concatenate(d_pieces, axis=-1),)


def torch_twin(x: Any, *, sizes: tuple[int, ...]) -> Any:
    """The same in PyTorch."""
    return x.split(sizes, dim=-1)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Unequal pieces."""
    yield Sample("three pieces", (rng.normal(size=(2, 3, 7)),), {"sizes": (4, 2, 1)})
    yield Sample("one piece", (rng.normal(size=(3, 4)),), {"sizes": (4,)})


split = define(
    "split",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="permutation of elements; its adjoint is its inverse",
)
