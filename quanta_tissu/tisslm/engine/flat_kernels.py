"""Numba kernels of `flat.py`, otherwise identical to the readable versions there.

They take scalars as Python floats (float64) and round them to the arrays' type once, as NumPy does, so that all
arithmetic on float32 arrays is in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel, summing_kernel

Flat = NDArray[Any]


@summing_kernel
def sum_into(total: Flat, part: Flat) -> float:
    """Add `part` to `total`; the new total's sum of squares in float64."""
    squares = 0.0
    for i in range(total.size):
        element = total[i] + part[i]
        total[i] = element
        squares += np.float64(element) * np.float64(element)
    return squares


@kernel
def add_rows(total: Flat, ids: NDArray[np.int64], rows: Flat) -> None:
    """Add rows (N, D) to those rows of total (V, D) that ids (N) name."""
    for n in range(len(ids)):
        row = ids[n]
        for j in range(rows.shape[1]):
            total[row, j] += rows[n, j]


@summing_kernel
def squared_norm(x: Flat) -> float:
    """Sum of squares in float64."""
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i]) * np.float64(x[i])
    return total


@kernel
def adamw_step(
    param: Flat,
    grad: Flat,
    m: Flat,
    v: Flat,
    keep: float,
    rate: float,
    v_correction: float,
    beta1: float,
    beta2: float,
    eps: float,
    grad_scale: float,
) -> None:
    """One pass over parameters, gradient and both moments."""
    real = param.dtype.type
    keep_, rate_, correction_ = real(keep), real(rate), real(v_correction)
    eps_, scale_ = real(eps), real(grad_scale)
    beta1_, beta2_, rest1, rest2 = real(beta1), real(beta2), real(1.0 - beta1), real(1.0 - beta2)
    for i in range(param.size):
        g = grad[i] * scale_
        m[i] = beta1_ * m[i] + rest1 * g
        v[i] = beta2_ * v[i] + rest2 * g * g
        param[i] = keep_ * param[i] - rate_ * m[i] / (np.sqrt(v[i] * correction_) + eps_)
