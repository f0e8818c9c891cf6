"""Embedding: look up one row of a table per token (Bengio et al. 2003, JMLR 3:1137, section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm.ops.op import Sample, define


def forward(
    weight: Float[np.ndarray, "V D"], *, ids: Int[np.ndarray, "*N"]
) -> tuple[Float[np.ndarray, "*N D"], Any]:
    """Copy rows: y[n] = W[ids[n]].

    Raises:
        DataError: An id is not a row of the table. (NumPy would read a negative one from the end.)
    """
    vocab_size = len(weight)
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        wrong = ids[(ids < 0) | (ids >= vocab_size)].flat[0]
        raise DataError(
            f"token id {wrong} is outside the vocabulary of {vocab_size}",
            hint=f"ids run from 0 to {vocab_size - 1}; was the text encoded with this model's tokenizer?",
        )
    return weight[ids], (ids, weight.shape)


def backward(saved: Any, dy: Float[np.ndarray, "*N D"]) -> tuple[np.ndarray]:
    """Differentiate L(y), with dy = ∂L/∂y.

    ∂y[n, d] / ∂W[v, d] is 1 where ids[n] = v and 0 elsewhere, so a row collects the gradient of its every use:

        dW[v] = Σ_{n: ids[n] = v} dy[n]
    """
    ids, shape = saved
    dweight = np.zeros(shape, dy.dtype)
    np.add.at(dweight, ids, dy)
    return (dweight,)


def torch_twin(weight: Any, *, ids: Any) -> Any:
    """The same in PyTorch."""
    import torch
    from torch.nn import functional

    return functional.embedding(torch.as_tensor(ids, device=weight.device), weight)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Ids that repeat (their gradients add up) and rows that nobody reads (their gradient is zero)."""
    weight = rng.normal(size=(5, 3))
    yield Sample("repeated ids", (weight,), {"ids": np.array([[0, 4, 4], [1, 4, 0]])})
    yield Sample("one sequence", (weight,), {"ids": np.array([3, 2])})
    yield Sample("large", (rng.normal(size=(301, 67)),), {"ids": rng.integers(0, 301, size=(5, 401))}, large=True)


embedding = define(
    "embedding",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Bengio et al. 2003, JMLR 3:1137, section 2",
)
