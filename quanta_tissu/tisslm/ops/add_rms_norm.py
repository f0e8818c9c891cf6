"""Residual add and RMS norm in one: the stream goes on as a sum, and its norm into the next layer.

He et al. 2015, arXiv:1512.03385, eq. 1; Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define
from quanta_tissu.tisslm.ops.rms_norm import backward as norm_backward
from quanta_tissu.tisslm.ops.rms_norm import forward as norm_forward
from quanta_tissu.tisslm.ops.rms_norm import torch_twin as norm_torch_twin


def forward(
    x: Float[np.ndarray, "*N D"], y: Float[np.ndarray, "*N D"], weight: Float[np.ndarray, " D"], *, eps: float
) -> tuple[tuple[Float[np.ndarray, "*N D"], Float[np.ndarray, "*N D"]], Any]:
    """Add, then normalise: s = x + y and n = w ⊙ ŝ (see `rms_norm.py`); returns both.

    Args:
        x: The residual stream.
        y: What a layer adds to it.
        weight: The norm's weight.
        eps: Added to the mean square.
    """
    s = x + y
    n, saved = norm_forward(s, weight, eps=eps)
    return (s, n), saved


def backward(
    saved: Any, ds: Float[np.ndarray, "*N D"], dn: Float[np.ndarray, "*N D"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differentiate L(s, n), with ds = ∂L/∂s for fixed n and dn = ∂L/∂n.

    s is an output and goes into the norm, and both gradients add up. Both slopes of a sum are one:

        dx = dy = ds                             (the stream)
                + the gradient of rms_norm at s  (through the norm, see there, as is dw)
    """
    through_norm, dweight = norm_backward(saved, dn)
    dx = ds + through_norm
    return dx, dx, dweight


def again(saved: Any) -> Float[np.ndarray, "*N D"]:
    """The norm n from what backward needs, bit for bit."""
    s, weight, inverse_rms = saved
    return np.asarray(s * inverse_rms * weight)


def torch_twin(x: Any, y: Any, weight: Any, *, eps: float) -> Any:
    """The same in PyTorch."""
    s = x + y
    return s, norm_torch_twin(s, weight, eps=eps)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Ordinary rows, and rows so small that eps matters."""
    x, y, weight = rng.normal(size=(2, 3, 6)), rng.normal(size=(2, 3, 6)), rng.normal(size=6)
    yield Sample("ordinary", (x, y, weight), {"eps": 1e-5})
    yield Sample("eps matters", (x * 1e-2, y * 1e-2, weight), {"eps": 1e-3})
    wide = rng.normal(size=(3, 67, 301)), rng.normal(size=(3, 67, 301)), rng.normal(size=301)
    yield Sample("large", wide, {"eps": 1e-5}, large=True)


add_rms_norm = define(
    "add_rms_norm",
    forward=forward,
    backward=backward,
    again=again,
    torch_twin=torch_twin,
    samples=samples,
    source="He et al. 2015, arXiv:1512.03385, eq. 1; Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4",
    cheap=True,
)
