"""Embedding whose gradient names the rows that were read; otherwise identical to `ops/embedding.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.engine.gradient import RowGradient
from quanta_tissu.tisslm.ops.embedding import forward
from quanta_tissu.tisslm.ops.kernels.layout import rows

__all__ = ["backward", "forward"]


def backward(saved: Any, dy: Float[np.ndarray, "*N D"]) -> tuple[RowGradient]:
    """As `ops/embedding.py`."""
    ids, shape = saved
    return (RowGradient(np.ascontiguousarray(ids, np.int64).reshape(-1), rows(dy), shape[0]),)
