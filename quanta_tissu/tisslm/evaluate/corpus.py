"""What a prepared dataset is made of, and the floors a model has to beat on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.data.dataset import TokenDataset
from quanta_tissu.tisslm.data.prepare import MIN_TOKENS
from quanta_tissu.tisslm.evaluate.floors import Floors, floors

_CHUNK = 1 << 22


@dataclass(frozen=True)
class CommonToken:
    """A token and how often it comes.

    Attributes:
        id: Its id.
        text: What it stands for; half a UTF-8 character shows as U+FFFD.
        count: How often it comes.
        share: count / tokens.
    """

    id: int
    text: str
    count: int
    share: float


@dataclass(frozen=True)
class CorpusStatistics:
    """A text seen through its tokenizer.

    Attributes:
        source: What the user named.
        documents: Documents with text.
        text_bytes: Bytes of UTF-8 text.
        tokenizer: Kind of the tokenizer.
        vocab_size: Its number of ids.
        tokens: Tokens of both splits, EOS between documents included.
        train_tokens: Tokens to train on.
        validation_tokens: Tokens to validate on.
        bytes_per_token: Bytes of text that a token stands for on average; special tokens stand for none.
        distinct_tokens: Different ids that come.
        most_common: The most frequent tokens, most frequent first.
        floors: Losses of counting models on the validation split, in nats per token; None where the text is too
            short for one.
        floors_bits_per_byte: The same in bits per byte of text, which compares across tokenizers.
    """

    source: str
    documents: int
    text_bytes: int
    tokenizer: str
    vocab_size: int
    tokens: int
    train_tokens: int
    validation_tokens: int
    bytes_per_token: float
    distinct_tokens: int
    most_common: list[CommonToken]
    floors: Floors | None
    floors_bits_per_byte: Floors | None


def corpus_statistics(dataset: TokenDataset, *, top: int = 10) -> CorpusStatistics:
    """Read both splits through and describe them.

    Args:
        dataset: A prepared dataset.
        top: How many of the most common tokens to name.

    Raises:
        DataError: The dataset's tokenizer is not the one that made it.
    """
    manifest = dataset.manifest
    vocab_size = manifest.tokenizer.vocab_size
    tokenizer = dataset.load_tokenizer()
    counts = _counts(dataset.train, vocab_size) + _counts(dataset.validation, vocab_size)
    tokens = int(counts.sum())
    ranked = np.argsort(-counts, kind="stable")[:top]
    short = min(len(dataset.train), len(dataset.validation)) < MIN_TOKENS
    found = None if short else floors(dataset.train, dataset.validation, vocab_size)
    return CorpusStatistics(
        source=manifest.source.description,
        documents=manifest.source.documents,
        text_bytes=manifest.source.text_bytes,
        tokenizer=manifest.tokenizer.kind,
        vocab_size=vocab_size,
        tokens=tokens,
        train_tokens=len(dataset.train),
        validation_tokens=len(dataset.validation),
        bytes_per_token=dataset.text_bytes("all") / tokens,
        distinct_tokens=int(np.count_nonzero(counts)),
        most_common=[
            CommonToken(i, tokenizer.decode([i]), int(counts[i]), float(counts[i] / tokens))
            for i in ranked.tolist()
            if counts[i]
        ],
        floors=found,
        floors_bits_per_byte=None if found is None else _per_byte(found, dataset),
    )


def _per_byte(found: Floors, dataset: TokenDataset) -> Floors:
    """From nats per token to bits per byte of the validation text."""
    factor = len(dataset.validation) / max(1, dataset.text_bytes("validation")) / math.log(2)
    return Floors(found.uniform * factor, found.unigram * factor, found.bigram * factor)


def _counts(tokens: NDArray[np.unsignedinteger], vocab_size: int) -> NDArray[np.int64]:
    counts = np.zeros(vocab_size, np.int64)
    for first in range(0, len(tokens), _CHUNK):
        counts += np.bincount(tokens[first : first + _CHUNK], minlength=vocab_size)
    return counts
