"""Floors: the loss that counting alone reaches, which a model has to beat to have learned anything.

    uniform   ln V: every token equally likely
    unigram   how often each token comes
    bigram    which token follows which

All count the training stream and are scored on the validation stream, in nats per token, on the same targets as a
model: every validation token but the first. Counts are smoothed, so that what was never seen in training costs
much rather than infinitely much; nothing is fitted to the validation stream. With c(·) for counts, N training
tokens and V ids:

    unigram   p(b) = (c(b) + 1) / (N + V)                          (Laplace)
    bigram    p(b | a) = [max(c(a, b) - d, 0) + d · t(a) · p(b)] / c(a)

the bigram by interpolated absolute discounting (Ney, Essen & Kneser 1994): each of the t(a) different pairs that
begin with a gives up d of its count, which is handed out by the unigram. d = (n₁ + 1) / (n₁ + 2 n₂ + 2) is their
estimate from the numbers of pairs seen once and twice, kept off 0 and 1. After a token that was never seen in
training, p(b | a) = p(b).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import DataError

Tokens = NDArray[np.integer]

_CHUNK = 1 << 22
"""Tokens counted at once; memory beyond this grows with the number of different pairs only."""


@dataclass(frozen=True)
class Floors:
    """Losses of the counting models on the validation stream, in nats per token.

    Attributes:
        uniform: ln V.
        unigram: From how often each token comes.
        bigram: From which token follows which.
    """

    uniform: float
    unigram: float
    bigram: float


def floors(train: Tokens, validation: Tokens, vocab_size: int, *, ignore_after: int | None = None) -> Floors:
    """All three floors.

    Args:
        train: The stream to count (N,).
        validation: The stream to score (M,).
        vocab_size: V.
        ignore_after: Leave out the targets after this token (EOS, where packed documents do).

    Raises:
        DataError: There is nothing to count or to score, or a token lies outside the vocabulary.
    """
    _check(train, "training", vocab_size)
    _check(validation, "validation", vocab_size)
    counts = _pair_counts(train, vocab_size, ignore_after)
    scored = _pair_counts(validation, vocab_size, ignore_after)
    unigram = _laplace(train, vocab_size)
    total = scored.counts.sum()
    return Floors(
        uniform=math.log(vocab_size),
        unigram=float(-(scored.counts * np.log(unigram[scored.second])).sum() / total),
        bigram=float(-(scored.counts * np.log(_discounted(counts, scored, unigram))).sum() / total),
    )


def bigram_loss(train: Tokens, scored: Tokens, vocab_size: int, *, added: float = 0.0) -> float:
    """Loss of the plain counted bigram p(b | a) = (c(a, b) + added) / (c(a) + added · V), in nats per token.

    Unsmoothed and scored on its own training stream it is the exact minimum of any bigram model's loss there.

    Args:
        train: The stream to count (N,).
        scored: The stream to score (M,).
        vocab_size: V.
        added: Added to every count; 0 makes a pair that was never seen infinitely costly.

    Raises:
        DataError: There is nothing to count or to score, or a token lies outside the vocabulary.
    """
    _check(train, "training", vocab_size)
    _check(scored, "scored", vocab_size)
    counts, pairs = _pair_counts(train, vocab_size), _pair_counts(scored, vocab_size)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = (counts.of(pairs) + added) / (counts.after(pairs.first) + added * vocab_size)
        return float(-(pairs.counts * np.log(np.nan_to_num(p))).sum() / pairs.counts.sum())


class _PairCounts:
    """Different pairs (a, b) of neighbouring tokens, sorted, and how often each comes.

    Attributes:
        keys: a · V + b of each pair (P,), ascending.
        counts: How often (P,).
    """

    def __init__(self, keys: NDArray[np.int64], counts: NDArray[np.int64], vocab_size: int) -> None:
        self.keys = keys
        self.counts = counts
        self.vocab_size = vocab_size
        self.first, self.second = np.divmod(keys, vocab_size)

    def of(self, pairs: _PairCounts) -> NDArray[np.int64]:
        """How often each of other pairs comes here."""
        places = np.minimum(np.searchsorted(self.keys, pairs.keys), len(self.keys) - 1)
        return np.where(self.keys[places] == pairs.keys, self.counts[places], 0)

    def after(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many pairs begin with each of these tokens."""
        totals = np.zeros(self.vocab_size, np.int64)
        np.add.at(totals, self.first, self.counts)
        return totals[tokens]

    def kinds_after(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many different pairs begin with each of these tokens."""
        return np.bincount(self.first, minlength=self.vocab_size)[tokens]


def _pair_counts(tokens: Tokens, vocab_size: int, ignore_after: int | None = None) -> _PairCounts:
    keys, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    for chunk in _chunks(tokens):
        pairs = chunk[:-1] * vocab_size + chunk[1:]
        if ignore_after is not None:
            pairs = pairs[chunk[:-1] != ignore_after]
        new_keys, new_counts = np.unique(pairs, return_counts=True)
        keys, place = np.unique(np.concatenate([keys, new_keys]), return_inverse=True)
        merged = np.zeros(len(keys), np.int64)
        np.add.at(merged, place, np.concatenate([counts, new_counts]))
        counts = merged
    if not len(keys):
        raise DataError(
            "the text has no two tokens in a row to count", hint="use more text, or documents longer than a token"
        )
    return _PairCounts(keys, counts, vocab_size)


def _laplace(tokens: Tokens, vocab_size: int) -> NDArray[np.float64]:
    """The unigram (V,)."""
    counts = np.ones(vocab_size, np.int64)
    for first in range(0, len(tokens), _CHUNK):
        counts += np.bincount(tokens[first : first + _CHUNK], minlength=vocab_size)
    probabilities: NDArray[np.float64] = counts / counts.sum()
    return probabilities


def _discounted(counts: _PairCounts, pairs: _PairCounts, unigram: NDArray[np.float64]) -> NDArray[np.float64]:
    """The bigram p(b | a) of each pair."""
    once, twice = np.count_nonzero(counts.counts == 1), np.count_nonzero(counts.counts == 2)
    discount = (once + 1) / (once + 2 * twice + 2)
    backoff = unigram[pairs.second]
    seen = counts.after(pairs.first)
    kept = np.maximum(counts.of(pairs) - discount, 0)
    handed_out = discount * counts.kinds_after(pairs.first) * backoff
    return np.where(seen > 0, (kept + handed_out) / np.maximum(seen, 1), backoff)


def _chunks(tokens: Tokens) -> Iterator[NDArray[np.int64]]:
    """The stream in chunks that overlap by one token, so that every pair is whole in one of them."""
    for first in range(0, len(tokens) - 1, _CHUNK):
        yield tokens[first : first + _CHUNK + 1].astype(np.int64)


def _check(tokens: Tokens, name: str, vocab_size: int) -> None:
    if len(tokens) < 2:
        raise DataError(
            f"the {name} stream has {len(tokens)} tokens; a token that follows another needs 2",
            hint="use more text, or another data.validation_split_ratio",
        )
    if (largest := int(tokens.max())) >= vocab_size:
        raise DataError(
            f"the {name} stream has the token {largest}, but the vocabulary ends at {vocab_size - 1}",
            hint="the tokens were damaged, or made by another tokenizer; prepare the dataset again",
        )
