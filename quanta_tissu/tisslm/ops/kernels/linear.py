"""Linear layer with all rows in one matrix product; otherwise identical to `ops/linear.py`.

NumPy multiplies (B, T, I) by a matrix as B products of T rows each; one product of B·T rows is faster.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.kernels.layout import rows
from quanta_tissu.tisslm.ops.linear import backward

__all__ = ["backward", "forward"]


def forward(
    x: Float[np.ndarray, "*N I"],
    weight: Float[np.ndarray, "O I"],
    bias: Float[np.ndarray, " O"] | None = None,
) -> tuple[Float[np.ndarray, "*N O"], Any]:
    """As `ops/linear.py`."""
    y = rows(x) @ weight.T
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], len(weight)), (x, weight, bias is not None)
