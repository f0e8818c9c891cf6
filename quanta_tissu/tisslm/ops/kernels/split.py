"""Split, whose backward copies nothing where gradients lie side by side; otherwise identical to `ops/split.py`."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.split import backward as readable_backward
from quanta_tissu.tisslm.ops.split import forward

__all__ = ["backward", "forward"]


def backward(saved: Any, *d_pieces: Float[np.ndarray, "*N _"]) -> tuple[np.ndarray]:
    """As `ops/split.py`; attention, for one, writes dq, dk and dv into one array (`ops/kernels/attention.py`)."""
    whole = d_pieces[0].base
    if isinstance(whole, np.ndarray) and _are_its_pieces(whole, d_pieces):
        return (whole.view(),)  # a view says that it is shared
    return readable_backward(saved, *d_pieces)


def _are_its_pieces(whole: np.ndarray, pieces: tuple[np.ndarray, ...]) -> bool:
    """Whether the pieces, side by side, are all of the array."""
    sizes = [piece.shape[-1] for piece in pieces]
    starts = accumulate(sizes[:-1], initial=0)
    return whole.shape == (*pieces[0].shape[:-1], sum(sizes)) and all(
        (piece.base is whole)
        and (piece.dtype, piece.strides) == (whole.dtype, whole.strides)
        and piece.ctypes.data == whole.ctypes.data + start * whole.strides[-1]
        for piece, start in zip(pieces, starts, strict=True)
    )
