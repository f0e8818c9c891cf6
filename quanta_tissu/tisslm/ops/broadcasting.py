"""The adjoint of broadcasting, shared by the elementwise ops of two inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sum_to_shape(d: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Sum a gradient over the axes along which its input was repeated.

    Broadcasting copies x[i] to several places; the gradient at x[i] is the sum of the gradients at its copies.

    Args:
        d: Gradient at the broadcast shape.
        shape: Shape of the input before broadcasting.

    Returns:
        Gradient of that shape; `d` itself if nothing was repeated.
    """
    if d.shape == shape:
        return d
    added = d.ndim - len(shape)
    repeated = tuple(added + i for i, size in enumerate(shape) if size == 1 and d.shape[added + i] != 1)
    return np.asarray(np.sum(d, axis=(*range(added), *repeated), keepdims=True)).reshape(shape)
