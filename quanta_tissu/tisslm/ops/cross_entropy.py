"""Cross-entropy of next-token predictions, with label smoothing and z-loss.

Label smoothing: Szegedy et al. 2015, arXiv:1512.00567, section 7. z-loss: Chowdhery et al. 2022 (PaLM),
arXiv:2204.02311, section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm.ops.op import Sample, define


def forward(
    logits: Float[np.ndarray, "*N V"],
    *,
    targets: Int[np.ndarray, "*N"],
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    denominator: float | int | None = None,
) -> tuple[Float[np.ndarray, ""], Any]:
    """Average surprise at the targets, in nats.

    With lse = log Σ_v exp(logits_v), the loss of a row is

        (1 - ε) (lse - logits_target)        -log p(target)
        + ε (lse - mean_v logits_v)          cross-entropy with the uniform distribution
        + z lse²                             keeps the normaliser near one

    Two numbers per row are saved beside the logits, its maximum and log Σ_v exp(logits_v - maximum), which add up
    to lse: backward makes the probabilities where it needs them, as its result. The maximum keeps exponentials
    from overflowing, and is kept apart because the sum would be rounded (to 0.001 for logits of 10,000 in
    float32). A logit of -inf is a token of probability zero; as a target, or with label smoothing, its loss is
    rightly infinite.

    Args:
        logits: Unnormalised log-probabilities.
        targets: The true token of each row.
        ignore_index: Rows with this target count for nothing.
        label_smoothing: ε.
        z_loss: z.
        denominator: Divide the sum of the rows by this; by default by the number of rows that are not ignored.

    Returns:
        A scalar; zero if all rows are ignored.

    Raises:
        DataError: A target is neither a token nor `ignore_index`.
    """
    vocab_size = logits.shape[-1]
    rows, tokens = logits.reshape(-1, vocab_size), targets.reshape(-1)
    valid = tokens != ignore_index
    tokens = np.where(valid, tokens, 0)
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab_size:
        raise not_a_token(int(tokens[(tokens < 0) | (tokens >= vocab_size)][0]), vocab_size, ignore_index)
    largest = np.max(rows, axis=-1)
    shifted = rows - largest[:, None]
    loss = -(1 - label_smoothing) * shifted[np.arange(len(tokens)), tokens]
    if label_smoothing:
        loss -= label_smoothing * np.mean(shifted, axis=-1)
    log_total = np.log(np.sum(np.exp(shifted, out=shifted), axis=-1))
    loss += log_total + z_loss * (largest + log_total) ** 2
    scale = 1 / (max(1, int(np.count_nonzero(valid))) if denominator is None else denominator)
    total = np.sum(loss, where=valid, dtype=np.float64) * scale
    saved = (logits, largest, log_total, tokens, valid, label_smoothing, z_loss, scale)
    return np.asarray(total, logits.dtype), saved


def backward(saved: Any, dloss: Float[np.ndarray, ""]) -> tuple[np.ndarray]:
    """Differentiate the loss, with dloss the gradient at its value (one, if it is what is minimised).

    With ∂lse/∂logits_v = p_v, the softmax, and c = 1 / denominator, a row that is not ignored has

        dlogits_v = c · dloss · (p_v (1 + 2 z lse)      (through lse; the two cross-entropies' parts add up to one)
                                 - (1 - ε) [v = target]
                                 - ε / V)
    """
    logits, largest, log_total, tokens, valid, label_smoothing, z_loss, scale = saved
    vocab_size = logits.shape[-1]
    dlogits = logits.reshape(-1, vocab_size) - largest[:, None]
    dlogits -= log_total[:, None]
    np.exp(dlogits, out=dlogits)
    dlogits *= (1 + 2 * z_loss * (largest + log_total))[:, None]
    dlogits -= label_smoothing / vocab_size
    dlogits[np.arange(len(tokens)), tokens] -= 1 - label_smoothing
    dlogits *= dloss * scale
    dlogits[~valid] = 0
    return (dlogits.reshape(logits.shape),)


def not_a_token(target: int, vocab_size: int, ignore_index: int) -> DataError:
    """What is raised for a target that is neither a token nor ignored."""
    return DataError(
        f"target {target} is neither a token of the vocabulary of {vocab_size} nor {ignore_index} (ignored)",
        hint="check that the text was encoded with this model's tokenizer",
    )


def torch_twin(
    logits: Any,
    *,
    targets: Any,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    denominator: float | int | None = None,
) -> Any:
    """The same in PyTorch."""
    import torch
    from torch.nn import functional

    rows = logits.reshape(-1, logits.shape[-1])
    tokens = torch.as_tensor(targets, device=logits.device).reshape(-1).long()
    loss = functional.cross_entropy(
        rows, tokens, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction="sum"
    )
    valid = tokens != ignore_index
    if z_loss:
        loss = loss + z_loss * (rows.logsumexp(dim=-1).square() * valid).sum()
    return loss / (valid.sum().clamp(min=1) if denominator is None else denominator)


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """Every term alone and all together; ignored rows; logits of ten thousand."""
    logits, targets = rng.normal(size=(2, 3, 5)) * 2, np.array([[1, 0, 4], [2, 1, 1]])
    some = np.array([[1, -100, 4], [-100, 1, 1]])
    yield Sample("plain", (logits,), {"targets": targets})
    yield Sample("ignored rows", (logits,), {"targets": some})
    yield Sample("all rows ignored", (logits,), {"targets": np.full((2, 3), -100)})
    yield Sample("ignore_index = 1", (logits,), {"targets": targets, "ignore_index": 1})
    yield Sample("label smoothing", (logits,), {"targets": targets, "label_smoothing": 0.1})
    yield Sample("z-loss", (logits,), {"targets": targets, "z_loss": 0.3})
    everything = {"targets": some, "label_smoothing": 0.2, "z_loss": 0.1, "denominator": 17.0}
    yield Sample("all terms, denominator", (logits,), everything)
    yield Sample("logits of 1e4", (logits[0] + 1e4,), {"targets": targets[0]})
    many = rng.integers(0, 1031, size=(3, 37))
    many[1, ::5] = -100
    everything = {"targets": many, "label_smoothing": 0.1, "z_loss": 0.01}
    yield Sample("large", (rng.normal(size=(3, 37, 1031)) * 3,), everything, large=True)


cross_entropy = define(
    "cross_entropy",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="Szegedy et al. 2015, arXiv:1512.00567, section 7; Chowdhery et al. 2022, arXiv:2204.02311, section 5",
)
