"""SwiGLU: a gate passed through SiLU times a value (Shazeer 2020, arXiv:2002.05202, eq. 5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define
from quanta_tissu.tisslm.ops.silu import sigmoid


def forward(x: Float[np.ndarray, "*N F2"]) -> tuple[Float[np.ndarray, "*N F"], Any]:
    """Gate: y = g σ(g) ⊙ u, where x = (g, u) holds the gate first and the value u second (F2 = 2F)."""
    gate, value = np.split(x, 2, axis=-1)
    return gate * sigmoid(gate) * value, x


def backward(saved: Any, dy: Float[np.ndarray, "*N F"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    With s = σ(g) and ∂s/∂g = s (1 - s), the product rule gives

        dg = dy ⊙ u ⊙ (s + g s (1 - s))      (SiLU's derivative, see silu.py)
        du = dy ⊙ g s
    """
    gate, value = np.split(saved, 2, axis=-1)
    s = sigmoid(gate)
    dgate = dy * value * (s + gate * s * (1 - s))
    dvalue = dy * gate * s
    return (np.concatenate((dgate, dvalue), axis=-1),)


def torch_twin(x: Any) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    gate, value = x.chunk(2, dim=-1)
    return functional.silu(gate) * value


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Ordinary and large gates."""
    yield Sample("ordinary", (rng.normal(size=(2, 3, 8)),))
    yield Sample("large gates", (rng.normal(size=(3, 6)) * np.repeat([6, 1], 3),))
    yield Sample("large", (rng.normal(size=(37, 2 * 301)) * 2,), large=True)


swiglu = define(
    "swiglu",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Shazeer 2020, arXiv:2002.05202, eq. 5",
    cheap=True,
)
