"""RMS norm: scale every row to unit root mean square (Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define


def forward(
    x: Float[np.ndarray, "*N D"], weight: Float[np.ndarray, " D"], *, eps: float
) -> tuple[Float[np.ndarray, "*N D"], Any]:
    """Normalise rows by their root mean square: y = w ⊙ x̂ with x̂ = x r, r = 1 / sqrt(mean(x²) + eps)."""
    inverse_rms = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return x * inverse_rms * weight, (x, weight, inverse_rms)


def backward(saved: Any, dy: Float[np.ndarray, "*N D"]) -> tuple[np.ndarray, np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    Let g = w ⊙ dy be the gradient at x̂ = x r. x acts directly, and through r, with ∂r/∂x_j = -r³ x_j / D:

        dx_j = r g_j + Σ_i g_i x_i ∂r/∂x_j
             = r g_j                         (direct term)
             - r x̂_j · mean_i(g_i x̂_i)       (through the norm)
        dw_j = Σ_n dy[n, j] x̂[n, j]
    """
    x, weight, inverse_rms = saved
    x_hat = x * inverse_rms
    g = dy * weight
    dx = inverse_rms * (g - x_hat * np.mean(g * x_hat, axis=-1, keepdims=True))
    dweight = np.sum((dy * x_hat).reshape(-1, x.shape[-1]), axis=0)
    return dx, dweight


def torch_twin(x: Any, weight: Any, *, eps: float) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    return functional.rms_norm(x, weight.shape, weight, eps)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Ordinary rows, and rows so small that eps matters."""
    x, weight = rng.normal(size=(2, 3, 6)), rng.normal(size=6)
    yield Sample("ordinary", (x, weight), {"eps": 1e-5})
    yield Sample("eps matters", (x * 1e-2, weight), {"eps": 1e-3})
    yield Sample("large", (rng.normal(size=(3, 67, 301)), rng.normal(size=301)), {"eps": 1e-5}, large=True)


rms_norm = define(
    "rms_norm",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4",
    cheap=True,
)
