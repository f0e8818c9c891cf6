"""Output projection and cross-entropy in one: the loss of the next token, from hidden states.

The logits are the largest array of a language model, V numbers for every token, and nothing but the loss reads
them. An op that knows this need not keep them (Wijmans et al. 2024, arXiv:2411.09009, sections 3 and 4, leave them
out altogether and pay by computing them twice; the fast twin holds those of a few hundred rows at a time instead).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from quanta_tissu.tisslm.ops.cross_entropy import cross_entropy
from quanta_tissu.tisslm.ops.linear import linear
from quanta_tissu.tisslm.ops.op import Sample, define


def forward(
    x: Float[np.ndarray, "*N D"],
    weight: Float[np.ndarray, "V D"],
    *,
    targets: Int[np.ndarray, "*N"],
    **terms: Any,
) -> tuple[Float[np.ndarray, ""], Any]:
    """Compute L = cross_entropy(z) of the logits z[n, v] = Σ_d x[n, d] W[v, d].

    Args:
        x: Hidden states.
        weight: Output matrix W, one row per token of the vocabulary.
        targets: The true token of each row.
        terms: `ignore_index`, `label_smoothing`, `z_loss` and `denominator`, as in `cross_entropy`.

    Returns:
        A scalar; zero if all rows are ignored.

    Raises:
        DataError: A target is neither a token nor `ignore_index`.
    """
    loss, saved_by_loss = cross_entropy.readable.forward(x @ weight.T, targets=targets, **terms)
    return loss, (x, weight, saved_by_loss)


def backward(saved: Any, dloss: Float[np.ndarray, ""]) -> tuple[np.ndarray, np.ndarray]:
    """Differentiate the loss, with dloss the gradient at its value.

    With dz[n, v] = ∂L/∂z[n, v] from `cross_entropy`, the chain rule gives what it gives for any linear layer:

        dx[n, d] = Σ_v dz[n, v] W[v, d]     dx = dz W
        dW[v, d] = Σ_n dz[n, v] x[n, d]     dW = dzᵀ x

    Row n of dz depends on row n of z alone, and dz is proportional to dloss. So both products can be taken some
    rows at a time, as soon as these rows' logits are there, and multiplied by dloss when that is known.
    """
    x, weight, saved_by_loss = saved
    (dlogits,) = cross_entropy.readable.backward(saved_by_loss, dloss)
    rows_x, rows_dlogits = x.reshape(-1, x.shape[-1]), dlogits.reshape(-1, len(weight))
    return dlogits @ weight, rows_dlogits.T @ rows_x


def torch_twin(x: Any, weight: Any, **attributes: Any) -> Any:
    """The same in PyTorch."""
    return cross_entropy.torch_twin(linear.torch_twin(x, weight), **attributes)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Every term alone and all together, and ignored rows."""
    x, weight = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4))
    targets, some = np.array([[1, 0, 4], [2, 1, 1]]), np.array([[1, -100, 4], [-100, 1, 1]])
    yield Sample("plain", (x, weight), {"targets": targets})
    yield Sample("one sequence", (x[0], weight), {"targets": targets[0]})
    yield Sample("ignored rows", (x, weight), {"targets": some})
    yield Sample("all rows ignored", (x, weight), {"targets": np.full((2, 3), -100)})
    yield Sample("label smoothing", (x, weight), {"targets": targets, "label_smoothing": 0.1})
    yield Sample("z-loss", (x, weight), {"targets": targets, "z_loss": 0.3})
    everything = {"targets": some, "label_smoothing": 0.2, "z_loss": 0.1, "denominator": 17.0, "ignore_index": 1}
    yield Sample("all terms, denominator", (x, weight), {**everything, "targets": targets})
    many = rng.integers(0, 1031, size=(3, 137))
    many[1, ::5] = -100
    everything = {"targets": many, "label_smoothing": 0.1, "z_loss": 0.01}
    yield Sample("large", (rng.normal(size=(3, 137, 9)), rng.normal(size=(1031, 9))), everything, large=True)


linear_cross_entropy = define(
    "linear_cross_entropy",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Wijmans et al. 2024, arXiv:2411.09009, sections 3 and 4",
)
