"""What a prepared dataset is made of, and the floors a model has to beat on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.data.dataset import TokenDataset
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
        bytes_per_token: text_bytes / tokens.
        distinct_tokens: Different ids that come.
        most_common: The most frequent tokens, most frequent first.
        floors: Losses of counting models on the validation split, in nats per token.
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
    floors: Floors
    floors_bits_per_byte: Floors


def corpus_statistics(dataset: TokenDataset, *, top: int = 10) -> CorpusStatistics:
    """Read both splits through and describe them.

    Args:
        dataset: A prepared dataset.
        top: How many of the most common tokens to name.

    Raises:
        DataError: The dataset's tokenizer is not the one that made it, or a split has fewer than two tokens.
    """
    manifest = dataset.manifest
    vocab_size = manifest.tokenizer.vocab_size
    tokenizer = dataset.load_tokenizer()
    counts = _counts(dataset.train, vocab_size) + _counts(dataset.validation, vocab_size)
    tokens = int(counts.sum())
    ranked = np.argsort(-counts, kind="stable")[:top]
    found = floors(dataset.train, dataset.validation, vocab_size)
    per_byte = len(dataset.validation) / max(1, dataset.text_bytes("validation")) / math.log(2)
    return CorpusStatistics(
        source=manifest.source.description,
        documents=manifest.source.documents,
        text_bytes=manifest.source.text_bytes,
        tokenizer=manifest.tokenizer.kind,
        vocab_size=vocab_size,
        tokens=tokens,
        train_tokens=len(dataset.train),
        validation_tokens=len(dataset.validation),
        bytes_per_token=manifest.source.text_bytes / tokens,
        distinct_tokens=int(np.count_nonzero(counts)),
        most_common=[
            CommonToken(i, tokenizer.decode([i]), int(counts[i]), float(counts[i] / tokens))
            for i in ranked.tolist()
            if counts[i]
        ],
        floors=found,
        floors_bits_per_byte=Floors(found.uniform * per_byte, found.unigram * per_byte, found.bigram * per_byte),
    )


def _counts(tokens: NDArray[np.unsignedinteger], vocab_size: int) -> NDArray[np.int64]:
    counts = np.zeros(vocab_size, np.int64)
    for first in range(0, len(tokens), _CHUNK):
        counts += np.bincount(tokens[first : first + _CHUNK], minlength=vocab_size)
    return counts
