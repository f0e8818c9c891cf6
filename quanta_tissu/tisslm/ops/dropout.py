"""Dropout: silence random elements while training (Srivastava et al. 2014, JMLR 15:1929, section 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from quanta_tissu.tisslm.ops.op import Sample, define
from quanta_tissu.tisslm.ops.random import keep_mask


def forward(x: Float[np.ndarray, "*N"], *, p: float, seed: tuple[int, ...]) -> tuple[Float[np.ndarray, "*N"], Any]:
    """Zero each element with probability p and scale the others so that the mean stays: y = x ⊙ keep / (1 - p)."""
    keep, scale = keep_mask(x.shape, p, seed), 1 / (1 - p)
    return x * keep * scale, (keep, scale)


def backward(saved: Any, dy: Float[np.ndarray, "*N"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    The mask does not depend on x, so each element is only scaled:

        dx = dy ⊙ keep / (1 - p)
    """
    keep, scale = saved
    return (dy * keep * scale,)


def torch_twin(x: Any, *, p: float, seed: tuple[int, ...] | None) -> Any:
    """The same in PyTorch, with the same mask; without a seed its own generator draws another one."""
    import torch

    if seed is None:
        return torch.nn.functional.dropout(x, p)
    keep = torch.as_tensor(keep_mask(tuple(x.shape), p, seed), device=x.device)
    return x * keep / (1 - p)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Little and much dropped."""
    x = rng.normal(size=(3, 4, 5))
    yield Sample("p = 0.1", (x,), {"p": 0.1, "seed": (1, 2)})
    yield Sample("p = 0.6", (x,), {"p": 0.6, "seed": (3,)})


dropout = define(
    "dropout",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Srivastava et al. 2014, JMLR 15:1929, section 4",
)
