"""How arrays are brought into the layout that kernels are compiled for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def rows(x: Array) -> Array:
    """Give x (*N, D) as a matrix (N, D) without gaps; copies only if x has gaps."""
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


def flat(x: Array) -> Array:
    """Give all elements of x in row-major order, without gaps; copies only if x has gaps."""
    return np.ascontiguousarray(x).reshape(-1)
