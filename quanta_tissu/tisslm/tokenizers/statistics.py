"""What a vocabulary is made of, and how well it compresses a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class VocabularyStatistics:
    """What a vocabulary is made of; lengths are in bytes, of ordinary tokens only.

    Attributes:
        kind: Family of the tokenizer.
        vocab_size: Number of token ids.
        special_tokens: Ids of the special tokens by their spelling.
        mean_length: Mean length of a token, each counted once.
        max_length: Length of the longest token.
        lengths: Number of tokens of each length.
        longest: Ids of the longest tokens, at most ten.
        fingerprint: SHA-256 of the tokenizer's file.
    """

    kind: str
    vocab_size: int
    special_tokens: dict[str, int]
    mean_length: float
    max_length: int
    lengths: dict[int, int]
    longest: list[int]
    fingerprint: str


@dataclass(frozen=True)
class Compression:
    """How a tokenizer does on a text.

    Attributes:
        bytes: UTF-8 bytes of the text.
        characters: Characters of the text.
        tokens: Tokens it became.
        distinct_tokens: Different ids among them.
        bytes_per_token: bytes / tokens; higher is better compressed.
        characters_per_token: characters / tokens.
        vocabulary_used: distinct_tokens / vocab_size.
    """

    bytes: int
    characters: int
    tokens: int
    distinct_tokens: int
    bytes_per_token: float
    characters_per_token: float
    vocabulary_used: float


def vocabulary_statistics(tokenizer: Tokenizer) -> VocabularyStatistics:
    """Describe a vocabulary."""
    special = dict(tokenizer.special_tokens)
    ordinary = sorted(set(range(tokenizer.vocab_size)) - set(special.values()))
    length = {token_id: len(tokenizer.token_bytes(token_id)) for token_id in ordinary}
    lengths: dict[int, int] = {}
    for size in sorted(length.values()):
        lengths[size] = lengths.get(size, 0) + 1
    return VocabularyStatistics(
        kind=tokenizer.kind,
        vocab_size=tokenizer.vocab_size,
        special_tokens=special,
        mean_length=sum(length.values()) / max(1, len(ordinary)),
        max_length=max(length.values(), default=0),
        lengths=lengths,
        longest=sorted(ordinary, key=lambda token_id: (-length[token_id], token_id))[:10],
        fingerprint=tokenizer.fingerprint(),
    )


def compression(tokenizer: Tokenizer, texts: Iterable[str]) -> Compression:
    """Encode some texts and measure what came out; spellings of special tokens count as the tokens.

    Raises:
        TokenizerError: The texts are empty, or the tokenizer cannot express them.
    """
    size = characters = tokens = 0
    distinct: set[int] = set()
    for text in texts:
        ids = tokenizer.encode(text, allow_special=True)
        size += len(text.encode())
        characters += len(text)
        tokens += len(ids)
        distinct.update(ids)
    if not tokens:
        raise TokenizerError("there is no text to measure the compression on", hint="use a source that has text")
    return Compression(
        bytes=size,
        characters=characters,
        tokens=tokens,
        distinct_tokens=len(distinct),
        bytes_per_token=size / tokens,
        characters_per_token=characters / tokens,
        vocabulary_used=len(distinct) / tokenizer.vocab_size,
    )
