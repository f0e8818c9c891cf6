"""Arithmetic over flat buffers: what happens to all parameters at once, outside the tape.

A model's parameters are views on one flat array, and so are their gradients and the optimizer's moments
(`model/parameter.py`). What runs once per step over all of them is bound by memory, so beside its readable version
in NumPy each function here has a Numba kernel that makes a single pass, for the fast engine.

But for `add_rows`, all arrays are one-dimensional, contiguous, of equal length and of one floating type. Results
of one engine are deterministic and do not depend on threads; a caller may split the element-wise functions into
slices freely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.engines import current

Flat = NDArray[Any]

# Elements whose partial sum is taken at once: 256 KiB of float64, which stays in a core's cache.
_CHUNK = 1 << 15


def sum_into(total: Flat, part: Flat) -> float:
    """Add `part` to `total` in place (gradients of the replicas, in their order).

    Returns:
        The squared norm of the new total, as of `squared_norm`: it costs little while the elements are at hand.
    """
    return float(_fast("sum_into", _sum_into)(total, part))


def _sum_into(total: Flat, part: Flat) -> float:
    np.add(total, part, out=total)
    return _squared_norm(total)


def add_rows(total: NDArray[Any], ids: NDArray[np.integer[Any]], rows: NDArray[Any]) -> None:
    """Add row n of `rows` (N, D) to row ids[n] of `total` (V, D); ids that repeat add up in their order."""
    _fast("add_rows", np.add.at)(total, ids, rows)


def squared_norm(x: Flat) -> float:
    """Sum of squares in float64; its root is the global gradient norm. Not-a-number and infinity come through."""
    return float(_fast("squared_norm", _squared_norm)(x))


def _squared_norm(x: Flat) -> float:
    chunks = (x[i : i + _CHUNK].astype(np.float64) for i in range(0, x.size, _CHUNK))
    return float(sum(np.sum(chunk * chunk) for chunk in chunks))


def adamw_step(
    param: Flat,
    grad: Flat,
    m: Flat,
    v: Flat,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    step: int,
    grad_scale: float = 1.0,
) -> None:
    """One AdamW update in place (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2).

    With g = grad_scale · grad and t = step, counted from 1:

        m ← β1 m + (1 - β1) g
        v ← β2 v + (1 - β2) g²
        θ ← θ (1 - lr decay) - lr · m̂ / (√v̂ + eps),    m̂ = m / (1 - β1ᵗ),  v̂ = v / (1 - β2ᵗ)

    Args:
        param: θ, changed in place.
        grad: Gradient of the loss; not changed.
        m: First moment, changed in place; zeros before the first step.
        v: Second moment, changed in place; zeros before the first step.
        lr: Learning rate of this step.
        beta1: Decay of the first moment, in [0, 1).
        beta2: Decay of the second moment, in [0, 1).
        eps: Added to the root of the second moment.
        decay: Weight decay, multiplied by the learning rate and applied to θ directly.
        step: Number of this update, from 1.
        grad_scale: Factor on the gradient; clipping by norm passes it here and saves a pass over memory.
    """
    _fast("adamw_step", _adamw_step)(
        param,
        grad,
        m,
        v,
        1.0 - lr * decay,
        lr / (1.0 - beta1**step),
        1.0 / (1.0 - beta2**step),
        beta1,
        beta2,
        eps,
        grad_scale,
    )


def _adamw_step(
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
    g = grad * grad_scale
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    param *= keep
    param -= rate * m / (np.sqrt(v * v_correction) + eps)


def _fast(name: str, readable: Callable[..., Any]) -> Callable[..., Any]:
    """The current engine's version of a function of this module."""
    return current().function(name, readable)
