"""Split, whose backward copies nothing where gradients lie side by side; otherwise identical to `ops/split.py`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.split import backward as readable_backward
from quanta_tissu.tisslm.ops.split import forward

__all__ = ["backward", "forward"]


def backward(saved: Any, *d_pieces: Float[np.ndarray, "..."]) -> tuple[np.ndarray]:
    """As `ops/split.py`; attention, for one, writes dq, dk and dv into one array (`ops/kernels/attention.py`)."""
    axis, memory = saved, d_pieces[0].base
    if isinstance(memory, np.ndarray) and memory.flags.c_contiguous:
        shape = list(d_pieces[0].shape)
        shape[axis] = sum(piece.shape[axis] for piece in d_pieces)
        if memory.size == math.prod(shape):
            whole = memory.reshape(shape)
            if _are_its_pieces(whole, d_pieces, axis):
                return (whole,)  # a view says that it is shared
    return readable_backward(saved, *d_pieces)


def _are_its_pieces(whole: np.ndarray, pieces: tuple[np.ndarray, ...], axis: int) -> bool:
    """Whether the pieces, side by side, are all of the array."""
    address = whole.ctypes.data
    for piece in pieces:
        if piece.base is not whole.base or piece.strides != whole.strides or piece.dtype != whole.dtype:
            return False
        if piece.ctypes.data != address:
            return False
        address += piece.shape[axis] * whole.strides[axis]
    return True
