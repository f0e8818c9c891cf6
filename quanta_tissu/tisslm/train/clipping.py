"""Gradient clipping, by value and by global norm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def clip_by_value(gradients: NDArray[Any], limit: float) -> None:
    """Clip every element to [-limit, limit] in place."""
    np.clip(gradients, -limit, limit, out=gradients)


def norm_scale(norm: float, max_norm: float) -> float:
    """Factor that brings a gradient of this norm to at most `max_norm`.

    Source: Pascanu et al. 2013, arXiv:1211.5063, algorithm 1. The same 1e-6 as in PyTorch's
    `clip_grad_norm_` keeps the division finite.
    """
    return min(1.0, max_norm / (norm + 1e-6))
