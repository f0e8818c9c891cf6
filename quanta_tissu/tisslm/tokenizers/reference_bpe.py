"""Byte-level BPE from scratch, to be read: the oracle for the fast tokenizer in `bpe.py`, otherwise identical.

Byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909) over bytes, as in GPT-2 (Radford et al. 2019):

1. A pattern cuts text into words; a merge never crosses the border of two words.
2. Each word is its UTF-8 bytes: ids 0-255.
3. Training finds the most frequent pair of neighbouring ids, gives it the next free id, merges it everywhere, and
   starts again. The list of merges, in order, is the tokenizer.
4. Encoding applies the merges to a word in the order they were learned.

Not covered: special tokens, files, speed. Ids 0-255 are the bytes themselves; the fast tokenizer has the same 256
tokens in GPT-2's order, and every merge has the same id in both.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import pairwise

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers.byte_alphabet import BYTE_ORDER

Pair = tuple[int, int]

# Equally frequent pairs: the one whose ids come first wins. Bytes count in GPT-2's order, not by value.
_PLACE = {byte: place for place, byte in enumerate(BYTE_ORDER)}


@cache
def word_pattern() -> re.Pattern[str]:
    r"""GPT-2's pattern: contractions, letters, numbers, other signs (each with one space before it), white space.

    The last space before a word belongs to the word, which is what `\s+(?!\S)` is for. Python's `re` lacks the
    classes \p{L} and \p{N}, and its \s has four control characters too many, so all three are spelled out.
    Letters and numbers are those of this Python's Unicode version.
    """
    letters, numbers = _category("L"), _category("N")
    space = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    return re.compile(
        rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{letters}]+| ?[{numbers}]+| ?[^{space}{letters}{numbers}]+"
        rf"|[{space}]+(?![^{space}])|[{space}]+"
    )


def _category(major: str) -> str:
    """All characters of one major Unicode category, as the ranges of a regular expression's class."""
    ranges, start = [], None
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and unicodedata.category(chr(code))[0] == major
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            ranges.append(f"{chr(start)}-{chr(code - 1)}")
            start = None
    return "".join(ranges)


def merge(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """Replace every occurrence of a pair, from left to right."""
    merged, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


class ReferenceBPE:
    """Byte-level BPE in its plainest form.

    Attributes:
        merges: Pairs of ids in the order they were learned; pair i makes id 256 + i. None before training.
    """

    def __init__(self, merges: list[Pair] | None = None) -> None:
        self.merges = merges

    def train(self, texts: Iterable[str], vocab_size: int, *, min_frequency: int = 2) -> None:
        """Learn merges from texts.

        Args:
            texts: The training texts.
            vocab_size: Number of ids to reach, the 256 bytes included; fewer if no pair is left to merge.
            min_frequency: A pair seen less often is not merged.

        Raises:
            TokenizerError: The vocabulary cannot hold the bytes, or the texts are empty.
        """
        if vocab_size < 256:
            raise TokenizerError(
                f"vocab_size = {vocab_size} is too small: byte-level BPE needs the 256 bytes",
                hint="choose a vocab_size of 256 or more",
            )
        word_counts = Counter(word for text in texts for word in word_pattern().findall(text))
        if not word_counts:
            raise TokenizerError("the training text is empty", hint="train on a source that has text")
        words = [list(word.encode()) for word in word_counts]
        counts = list(word_counts.values())

        # How often each pair occurs, and in which words; kept up to date instead of counted again for each merge.
        pair_counts: Counter[Pair] = Counter()
        words_with: defaultdict[Pair, set[int]] = defaultdict(set)

        def count_pairs_of(index: int) -> None:
            for pair in pairwise(words[index]):
                pair_counts[pair] += counts[index]
                words_with[pair].add(index)

        for index in range(len(words)):
            count_pairs_of(index)

        self.merges = []
        while len(self.merges) < vocab_size - 256 and pair_counts:
            best = max(pair_counts, key=lambda pair: (pair_counts[pair], -_place(pair[0]), -_place(pair[1])))
            if pair_counts[best] < max(min_frequency, 1):
                break
            new_id = 256 + len(self.merges)
            self.merges.append(best)
            for index in words_with.pop(best):
                for pair in pairwise(words[index]):
                    pair_counts[pair] -= counts[index]
                words[index] = merge(words[index], best, new_id)
                count_pairs_of(index)

    def encode(self, text: str) -> list[int]:
        """Ids of a text.

        Raises:
            TokenizerError: The tokenizer is not trained.
        """
        rank = {pair: i for i, pair in enumerate(self._trained())}
        return [token for word in word_pattern().findall(text) for token in self._encode_word(word, rank)]

    @staticmethod
    def _encode_word(word: str, rank: dict[Pair, int]) -> list[int]:
        ids = list(word.encode())
        while True:
            pairs = set(pairwise(ids)) & rank.keys()
            if not pairs:
                return ids
            first = min(pairs, key=lambda pair: rank[pair])
            ids = merge(ids, first, 256 + rank[first])

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Exact bytes of a sequence of ids.

        Raises:
            TokenizerError: The tokenizer is not trained, or an id is outside the vocabulary.
        """
        token_bytes = [bytes([byte]) for byte in range(256)]
        for left, right in self._trained():
            token_bytes.append(token_bytes[left] + token_bytes[right])
        ids = list(ids)
        for token in ids:
            if not 0 <= token < len(token_bytes):
                raise TokenizerError(f"token id {token} is outside the vocabulary, 0 … {len(token_bytes) - 1}")
        return b"".join(token_bytes[token] for token in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of a sequence of ids; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    def _trained(self) -> list[Pair]:
        if self.merges is None:
            raise TokenizerError("the BPE tokenizer is not trained", hint="call train(texts, vocab_size) first")
        return self.merges


def _place(token: int) -> int:
    """Where an id stands in the order that breaks ties."""
    return _PLACE[token] if token < 256 else token
