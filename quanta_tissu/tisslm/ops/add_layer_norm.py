"""Residual add and layer norm in one: the stream goes on as a sum, and its norm into the next layer.

He et al. 2015, arXiv:1512.03385, eq. 1; Ba et al. 2016, arXiv:1607.06450, eq. 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.layer_norm import backward as norm_backward
from quanta_tissu.tisslm.ops.layer_norm import forward as norm_forward
from quanta_tissu.tisslm.ops.layer_norm import torch_twin as norm_torch_twin
from quanta_tissu.tisslm.ops.op import Sample, define


def forward(
    x: Float[np.ndarray, "*N D"],
    y: Float[np.ndarray, "*N D"],
    weight: Float[np.ndarray, " D"],
    bias: Float[np.ndarray, " D"] | None = None,
    *,
    eps: float,
) -> tuple[tuple[Float[np.ndarray, "*N D"], Float[np.ndarray, "*N D"]], Any]:
    """Add, then normalise: s = x + y and n = w ⊙ ŝ + b (see `layer_norm.py`); returns both.

    Args:
        x: The residual stream.
        y: What a layer adds to it.
        weight: The norm's weight.
        bias: The norm's bias, if it has one.
        eps: Added to the variance.
    """
    s = x + y
    n, (_, _, mean, inverse_std, _) = norm_forward(s, weight, bias, eps=eps)
    return (s, n), (s, weight, mean, inverse_std, bias)


def backward(
    saved: Any, ds: Float[np.ndarray, "*N D"], dn: Float[np.ndarray, "*N D"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Differentiate L(s, n), with ds = ∂L/∂s for fixed n and dn = ∂L/∂n.

    s is an output and goes into the norm, and both gradients add up. Both slopes of a sum are one:

        dx = dy = ds                               (the stream)
                + the gradient of layer_norm at s  (through the norm, see there, as are dw and db)
    """
    s, weight, mean, inverse_std, bias = saved
    through_norm, dweight, dbias = norm_backward((s, weight, mean, inverse_std, bias is not None), dn)
    dx = ds + through_norm
    return dx, dx, dweight, dbias


def again(saved: Any) -> Float[np.ndarray, "*N D"]:
    """The norm n from what backward needs, bit for bit."""
    s, weight, mean, inverse_std, bias = saved
    n = np.asarray((s - mean) * inverse_std * weight)
    if bias is not None:
        n += bias
    return n


def torch_twin(x: Any, y: Any, weight: Any, bias: Any = None, *, eps: float) -> Any:
    """The same in PyTorch."""
    s = x + y
    return s, norm_torch_twin(s, weight, bias, eps=eps)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """With and without bias; rows far from zero; rows so narrow that eps matters."""
    x, y, weight, bias = (rng.normal(size=shape) for shape in ((2, 3, 6), (2, 3, 6), 6, 6))
    yield Sample("bias", (x, y, weight, bias), {"eps": 1e-5})
    yield Sample("no bias", (x[0], y[0], weight, None), {"eps": 1e-5})
    yield Sample("large mean", (x + 10, y, weight, bias), {"eps": 1e-5})
    yield Sample("eps matters", (x * 1e-2, y * 1e-2, weight, bias), {"eps": 1e-3})
    wide = tuple(rng.normal(size=shape) for shape in ((3, 67, 301), (3, 67, 301), 301, 301))
    yield Sample("large", wide, {"eps": 1e-5}, large=True)


add_layer_norm = define(
    "add_layer_norm",
    forward=forward,
    backward=backward,
    again=again,
    torch_twin=torch_twin,
    samples=samples,
    source="He et al. 2015, arXiv:1512.03385, eq. 1; Ba et al. 2016, arXiv:1607.06450, eq. 3",
    cheap=True,
)
