"""Split an axis into consecutive pieces."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(
    x: Float[np.ndarray, "..."], *, sizes: tuple[int, ...], axis: int = -1
) -> tuple[tuple[Float[np.ndarray, "..."], ...], Any]:
    """Cut an axis: piece k is x[..., a_k : a_k + sizes[k]] with a_k = sizes[0] + … + sizes[k-1]; all views.

    Args:
        x: What to cut.
        sizes: Lengths of the pieces along the axis.
        axis: Counted from the end: -1 is the last one.

    Raises:
        ValueError: The sizes do not add up to the length of the axis.
    """
    if sum(sizes) != x.shape[axis]:
        total, width = sum(sizes), x.shape[axis]
        raise ValueError(f"cannot split a width of {width} into pieces of {sizes}: they sum to {total}")
    behind: tuple[Any, ...] = (slice(None),) * (-1 - axis)
    bounds = pairwise(accumulate(sizes, initial=0))
    return tuple([x[(..., slice(start, end), *behind)] for start, end in bounds]), axis


def backward(saved: Any, *d_pieces: Float[np.ndarray, "..."]) -> tuple[np.ndarray]:
    """Differentiate L(pieces), given ∂L/∂ each piece.

    Every element of x is in exactly one piece, unchanged, so the gradient is the pieces' gradients side by side.
    """
    axis = saved
    return (np.concatenate(d_pieces, axis=axis),)


def torch_twin(x: Any, *, sizes: tuple[int, ...], axis: int = -1) -> Any:
    """The same in PyTorch."""
    return x.split(sizes, dim=axis)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Unequal pieces of the last axis and of another one."""
    yield Sample("three pieces", (rng.normal(size=(2, 3, 7)),), {"sizes": (4, 2, 1)})
    yield Sample("another axis", (rng.normal(size=(2, 7, 3)),), {"sizes": (4, 2, 1), "axis": -2})
    yield Sample("one piece", (rng.normal(size=(3, 4)),), {"sizes": (4,)})


split = define(
    "split",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="permutation of elements; its adjoint is its inverse",
)
