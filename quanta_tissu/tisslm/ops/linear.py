"""Linear layer: y = x Wᵀ + b (Goodfellow et al. 2016, *Deep Learning*, section 6.5.6 for the gradient)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(
    x: Float[np.ndarray, "*N I"],
    weight: Float[np.ndarray, "O I"],
    bias: Float[np.ndarray, " O"] | None = None,
) -> tuple[Float[np.ndarray, "*N O"], Any]:
    """Multiply by a matrix and add a bias: y[n, o] = Σ_i x[n, i] W[o, i] + b[o].

    The weight is stored (out, in) as in PyTorch.
    """
    y = x @ weight.T
    if bias is not None:
        y += bias
    return y, (x, weight, bias is not None)


def backward(saved: Any, dy: Float[np.ndarray, "*N O"]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Differentiate L(y), with dy = ∂L/∂y.

    Each y[n, o] depends on row n of x and row o of W, so by the chain rule

        dx[n, i] = Σ_o dy[n, o] W[o, i]     dx = dy W
        dW[o, i] = Σ_n dy[n, o] x[n, i]     dW = dyᵀ x
        db[o]    = Σ_n dy[n, o]
    """
    x, weight, has_bias = saved
    rows_x, rows_dy = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    dx = (rows_dy @ weight).reshape(x.shape)
    dweight = rows_dy.T @ rows_x
    dbias = rows_dy.sum(axis=0) if has_bias else None
    return dx, dweight, dbias


def torch_twin(x: Any, weight: Any, bias: Any = None) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    return functional.linear(x, weight, bias)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """With and without bias; one and two leading dimensions."""
    x, weight, bias = rng.normal(size=(2, 3, 5)), rng.normal(size=(4, 5)), rng.normal(size=4)
    yield Sample("bias", (x, weight, bias))
    yield Sample("no bias", (x[0], weight, None))
    wide = rng.normal(size=(3, 67, 301)), rng.normal(size=(131, 301)), rng.normal(size=131)
    yield Sample("large", wide, large=True)


linear = define(
    "linear",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Goodfellow et al. 2016, Deep Learning, section 6.5.6",
)
