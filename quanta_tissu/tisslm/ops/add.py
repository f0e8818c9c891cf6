"""Add, with broadcasting: residual connections (He et al. 2015, arXiv:1512.03385, eq. 1), positions, losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.broadcasting import sum_to_shape
from quanta_tissu.tisslm.ops.op import Sample, define


def forward(x: Float[np.ndarray, "..."], y: Float[np.ndarray, "..."]) -> tuple[Float[np.ndarray, "..."], Any]:
    """Add elementwise: z = x + y."""
    return np.asarray(x + y), (x.shape, y.shape)


def backward(saved: Any, dz: Float[np.ndarray, "..."]) -> tuple[np.ndarray, np.ndarray]:
    """Differentiate L(z), with dz = ∂L/∂z.

    Both slopes are one; what broadcasting repeated collects the gradient of all its copies:

        dx = dz summed to the shape of x
        dy = dz summed to the shape of y
    """
    x_shape, y_shape = saved
    return sum_to_shape(dz, x_shape), sum_to_shape(dz, y_shape)


def torch_twin(x: Any, y: Any) -> Any:
    """The same in PyTorch."""
    return x + y


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Equal shapes, and broadcasting by a missing axis and by an axis of one."""
    x = rng.normal(size=(2, 3, 4))
    yield Sample("same shape", (x, rng.normal(size=(2, 3, 4))))
    yield Sample("broadcast", (x, rng.normal(size=(3, 1))))
    yield Sample("scalar", (rng.normal(size=(3,)), rng.normal(size=())))


add = define(
    "add",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="residual connection: He et al. 2015, arXiv:1512.03385, eq. 1",
)
