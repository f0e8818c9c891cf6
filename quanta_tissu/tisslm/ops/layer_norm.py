"""Layer norm: bring every row to zero mean and unit variance (Ba et al. 2016, arXiv:1607.06450, eq. 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(
    x: Float[np.ndarray, "*N D"],
    weight: Float[np.ndarray, " D"],
    bias: Float[np.ndarray, " D"] | None = None,
    *,
    eps: float,
) -> tuple[Float[np.ndarray, "*N D"], Any]:
    """Normalise rows: y = w ⊙ x̂ + b with x̂ = (x - μ) r, μ = mean(x), r = 1 / sqrt(mean((x - μ)²) + eps).

    The variance is taken around the mean, not as mean(x²) - μ², which cancels when |μ| is large.
    """
    mean = np.mean(x, axis=-1, keepdims=True)
    centred = x - mean
    inverse_std = 1 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    y = centred * inverse_std * weight
    if bias is not None:
        y += bias
    return y, (x, weight, mean, inverse_std, bias is not None)


def backward(saved: Any, dy: Float[np.ndarray, "*N D"]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Differentiate L(y), with dy = ∂L/∂y.

    Let g = w ⊙ dy be the gradient at x̂. x_j acts on x̂_i = (x_i - μ) r in three ways: directly, through the mean
    (∂μ/∂x_j = 1/D), and through the scale (∂r/∂x_j = -r³ (x_j - μ) / D = -r² x̂_j / D; the mean drops out
    of this one because deviations sum to zero):

        dx_j = r g_j                          (direct term)
             - r · mean_i(g_i)                (through the mean)
             - r x̂_j · mean_i(g_i x̂_i)        (through the scale)
        dw_j = Σ_n dy[n, j] x̂[n, j]
        db_j = Σ_n dy[n, j]
    """
    x, weight, mean, inverse_std, has_bias = saved
    x_hat = (x - mean) * inverse_std
    g = dy * weight
    mean_g = np.mean(g, axis=-1, keepdims=True)
    mean_gx = np.mean(g * x_hat, axis=-1, keepdims=True)
    dx = inverse_std * (g - mean_g - x_hat * mean_gx)
    rows_dy = dy.reshape(-1, x.shape[-1])
    dweight = np.sum(rows_dy * x_hat.reshape(rows_dy.shape), axis=0)
    dbias = np.sum(rows_dy, axis=0) if has_bias else None
    return dx, dweight, dbias


def torch_twin(x: Any, weight: Any, bias: Any = None, *, eps: float) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    return functional.layer_norm(x, weight.shape, weight, bias, eps)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """With and without bias; rows far from zero; rows so narrow that eps matters."""
    x, weight, bias = rng.normal(size=(2, 3, 6)), rng.normal(size=6), rng.normal(size=6)
    yield Sample("bias", (x, weight, bias), {"eps": 1e-5})
    yield Sample("no bias", (x[0], weight, None), {"eps": 1e-5})
    yield Sample("large mean", (x + 10, weight, bias), {"eps": 1e-5})
    yield Sample("eps matters", (x * 1e-2, weight, bias), {"eps": 1e-3})
    wide = rng.normal(size=(3, 67, 301)), rng.normal(size=301), rng.normal(size=301)
    yield Sample("large", wide, {"eps": 1e-5}, large=True)


layer_norm = define(
    "layer_norm",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Ba et al. 2016, arXiv:1607.06450, eq. 3",
    cheap=True,
)
