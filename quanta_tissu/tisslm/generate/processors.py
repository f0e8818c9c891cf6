"""The links of the sampler chain: small pure functions that turn logits into other logits.

Every processor has one signature,

    processor(logits (B, V) float64, context) -> logits (B, V) float64

and leaves its input as it was. A token is ruled out by a logit of -inf. The functions below make processors out of
settings; anything else with the signature is one too, so users add their own (see `sampler.py` for the order).

Letters: B rows (completions under way), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import GenerationError

Logits = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Context:
    """What a processor may know besides the logits.

    Attributes:
        tokens: For each row the ids so far: its prompt, then its completion.
        step: Tokens generated so far; the same in all rows, since they advance together.
    """

    tokens: Sequence[Ids]
    step: int


Processor = Callable[[Logits, Context], Logits]


def repetition_penalty(penalty: float) -> Processor:
    """Make seen tokens less likely: divide their logit by `penalty` if positive, multiply it if negative.

    A penalty below 1 favours them. The rule depends on where the zero of the logits lies, which the softmax does
    not fix; hence it must see the model's own logits. Source: CTRL (Keskar et al. 2019), section 4.1.
    """

    def process(logits: Logits, context: Context) -> Logits:
        result = logits.copy()
        for row, ids in enumerate(context.tokens):
            seen = np.unique(ids)
            before = logits[row, seen]
            result[row, seen] = np.where(before > 0, before / penalty, before * penalty)
        return result

    return process


def presence_penalty(penalty: float) -> Processor:
    """Subtract `penalty` from the logit of every token seen at least once."""

    def process(logits: Logits, context: Context) -> Logits:
        result = logits.copy()
        for row, ids in enumerate(context.tokens):
            result[row, np.unique(ids)] -= penalty
        return result

    return process


def frequency_penalty(penalty: float) -> Processor:
    """Subtract `penalty` from the logit of a token once for each time it was seen."""

    def process(logits: Logits, context: Context) -> Logits:
        result = logits.copy()
        for row, ids in enumerate(context.tokens):
            seen, counts = np.unique(ids, return_counts=True)
            result[row, seen] -= penalty * counts
        return result

    return process


def logit_bias(bias: Mapping[int, float]) -> Processor:
    """Add to the logits of some ids."""
    ids, values = list(bias.keys()), np.array(list(bias.values()))

    def process(logits: Logits, context: Context) -> Logits:
        result = logits.copy()
        result[:, ids] += values
        return result

    return process


def no_repeat_ngram(n: int) -> Processor:
    """Rule out every token that would complete an n-gram which the row already contains.

    With n = 1 no token comes twice. Source: Paulus et al. 2017, section 2.5 (there n = 3).
    """

    def process(logits: Logits, context: Context) -> Logits:
        result = logits.copy()
        for row, ids in enumerate(context.tokens):
            if len(ids) < n:
                continue
            ngrams = np.lib.stride_tricks.sliding_window_view(ids, n)
            prefix = ids[len(ids) - (n - 1) :]
            repeated = (ngrams[:, :-1] == prefix).all(axis=1)
            result[row, ngrams[repeated, -1]] = -np.inf
        return result

    return process


def banned(ids: Sequence[int]) -> Processor:
    """Rule out some ids."""
    columns = np.array(ids, dtype=np.int64)

    def process(logits: Logits, context: Context) -> Logits:
        result = logits.copy()
        result[:, columns] = -np.inf
        return result

    return process


def min_new_tokens(count: int, eos_id: int) -> Processor:
    """Rule out the end of the sequence until `count` tokens are generated."""

    def process(logits: Logits, context: Context) -> Logits:
        if context.step >= count:
            return logits
        result = logits.copy()
        result[:, eos_id] = -np.inf
        return result

    return process


def forced(ids: Sequence[int]) -> Processor:
    """Rule out everything but the given ids, one after the other, at the start of the completion."""

    def process(logits: Logits, context: Context) -> Logits:
        if context.step >= len(ids):
            return logits
        result = np.full_like(logits, -np.inf)
        result[:, ids[context.step]] = 0.0
        return result

    return process


def temperature(value: float) -> Processor:
    """Divide the logits: below 1 sharpens the distribution, above 1 flattens it.

    The largest logit is moved to 0 first, which changes no probability, so that the quotient cannot overflow: a
    temperature towards 0 tends to the likeliest token (ties stay ties), one towards infinity to all that are left.
    """

    def process(logits: Logits, context: Context) -> Logits:
        result = shifted(logits)
        with np.errstate(over="ignore"):
            result /= value
        return result

    return process


def top_k(k: int) -> Processor:
    """Keep the k likeliest tokens; of equals the lower ids.

    Source: Fan et al. 2018, section 5.4.
    """

    def process(logits: Logits, context: Context) -> Logits:
        V = logits.shape[-1]
        if k >= V:
            return logits
        least = np.partition(logits, V - k, axis=-1)[:, V - k, None]
        keep = logits >= least
        if np.count_nonzero(keep) > k * len(logits):  # equals of the last one
            equal = logits == least
            room = k - (logits > least).sum(axis=-1, keepdims=True)
            keep &= ~equal | (equal.cumsum(axis=-1) <= room)
        return np.where(keep, logits, -np.inf)

    return process


def top_p(p: float) -> Processor:
    """Keep the smallest set of likeliest tokens whose probability reaches p; at least one token.

    A token stays if those before it, from the likeliest down (of equals the lower id first), have less than p
    together. Source: nucleus sampling, Holtzman et al. 2020, equations 2 and 3.
    """

    def process(logits: Logits, context: Context) -> Logits:
        result = np.full_like(logits, -np.inf)
        for row, weights in enumerate(probabilities(logits)):
            keep = _nucleus(logits[row], weights, p)
            result[row, keep] = logits[row, keep]
        return result

    return process


def _nucleus(logits: Logits, weights: NDArray[np.float64], p: float) -> Ids:
    """Ids that `top_p` keeps of one row, (V) logits and probabilities.

    Sorting a large vocabulary takes longer than a step of a small model; so the likeliest tokens are sorted, few
    at first, until they are more than enough.
    """
    V, enough = len(logits), 64
    while True:
        ids = np.arange(V)
        if enough < V:
            ids = np.flatnonzero(logits >= np.partition(logits, V - enough)[V - enough])
        ids = ids[np.argsort(-logits[ids], kind="stable")]
        before = np.zeros(len(ids))
        np.cumsum(weights[ids[:-1]], out=before[1:])
        keep = ids[before < p]
        if len(keep) < len(ids) or len(ids) == V:
            return keep
        enough *= 16


def min_p(p: float) -> Processor:
    """Keep tokens that are at least p times as likely as the likeliest.

    Source: Nguyen et al. 2024, section 3.
    """
    # A ratio of probabilities is a difference of logits.
    threshold = np.log(p) if p > 0 else -np.inf

    def process(logits: Logits, context: Context) -> Logits:
        return np.where(shifted(logits) >= threshold, logits, -np.inf)

    return process


def shifted(logits: Logits) -> Logits:
    """Move the largest logit of each row to 0, which changes no probability.

    If it is +inf, the limit is taken: the infinite logits become 0 and all others -inf.

    Raises:
        GenerationError: A row has no token left.
    """
    largest = logits.max(axis=-1, keepdims=True)
    if np.isneginf(largest).any():
        rows = np.flatnonzero(np.isneginf(largest[:, 0])).tolist()
        raise GenerationError(
            f"every one of the {logits.shape[-1]} tokens is ruled out for the next position (row {rows[0]})",
            hint="ban fewer tokens: look at banned_tokens, no_repeat_ngram, logit_bias and your own processors",
        )
    if np.isposinf(largest).any():
        with np.errstate(invalid="ignore"):
            return np.where(logits == largest, 0.0, logits - largest)
    difference: Logits = logits - largest
    return difference


def probabilities(logits: Logits) -> NDArray[np.float64]:
    """Softmax over the vocabulary.

    Raises:
        GenerationError: A row has no token left.
    """
    weights = np.exp(shifted(logits))
    normalised: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return normalised
