"""SentencePiece-style BPE with a score for every token, as llama2.c's tokenizer files hold it.

Merges are not ranked pairs: any two neighbours whose concatenation is a token may merge, the highest score first
and the leftmost among equals. A space is put before the text, so that its first word looks like any other, and a
character that is no token is spelled in byte tokens.

The vocabulary's layout is fixed: <unk>, BOS, EOS, then the 256 bytes, then everything else.
Source: karpathy/llama2.c, `run.c`, functions `encode` and `decode`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, ClassVar

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers.base import Tokenizer

UNK, BOS, EOS, FIRST_BYTE = 0, 1, 2, 3
_ORDINARY = FIRST_BYTE + 256  # first id that is neither special nor a byte


class ScoredBPETokenizer(Tokenizer):
    """BPE that merges by score, with a space before the text and bytes as a last resort.

    A sequence opens with BOS, which is also what separates documents, as in llama2.c's training data. What follows
    it is the beginning of a text: `decode` leaves out an opening BOS and the space that `encode` had put after it.

    Args:
        tokens: Spelling and score of every token, in the order of the ids.

    Raises:
        TokenizerError: The vocabulary does not begin with three special tokens and the 256 bytes, a score is not a
            finite number, or a token is there twice.
    """

    kind: ClassVar[str] = "llama2c"

    def __init__(self, tokens: Sequence[tuple[str, float]]) -> None:
        self._tokens = [(token, float(score)) for token, score in tokens]
        spellings = [token for token, _ in self._tokens]
        expected = [f"<0x{byte:02X}>" for byte in range(256)]
        if spellings[FIRST_BYTE:_ORDINARY] != expected:
            raise TokenizerError(
                f"ids {FIRST_BYTE} … {_ORDINARY - 1} of the vocabulary are not the bytes <0x00> … <0xFF>",
                hint="only SentencePiece vocabularies with byte fallback, as llama2.c exports them, are supported",
            )
        for token, score in self._tokens:
            if not math.isfinite(score):
                raise TokenizerError(f"the score of token {token!r} is {score}", hint="export the tokenizer again")
        ordinary = spellings[_ORDINARY:]
        if len(set(ordinary)) != len(ordinary):
            twice = next(token for i, token in enumerate(ordinary) if token in ordinary[:i])
            raise TokenizerError(f"the token {twice!r} is in the vocabulary twice", hint="list each token once")
        self._special_tokens = {spellings[i]: i for i in range(FIRST_BYTE)}
        self._ids = {token: _ORDINARY + i for i, token in enumerate(ordinary)}
        self._token_bytes = [
            bytes([i - FIRST_BYTE]) if FIRST_BYTE <= i < _ORDINARY else token.encode()
            for i, token in enumerate(spellings)
        ]

    @classmethod
    def from_json(cls, text: str) -> ScoredBPETokenizer:
        """Read what `to_json` wrote.

        Raises:
            TokenizerError: The text is malformed.
        """
        try:
            data: Any = json.loads(text)
            if (data["type"], data["version"]) != (cls.kind, 1):
                raise TokenizerError(
                    f"type {data['type']!r} version {data['version']} is not a {cls.kind} tokenizer of version 1",
                    hint="it may come from a newer release of this package",
                )
            tokens = [(str(token), float(score)) for token, score in data["tokens"]]
        except (ValueError, TypeError, KeyError) as error:
            raise TokenizerError(
                f"the {cls.kind} tokenizer is malformed: {error!r}",
                hint="the file was edited or damaged; import the tokenizer again",
            ) from None
        return cls(tokens)

    def to_json(self) -> str:
        """Fields type, version and tokens: [spelling, score] of each id."""
        lines = ",\n".join("  " + json.dumps(token, ensure_ascii=False) for token in self._tokens)
        return f'{{"type": "{self.kind}", "version": 1, "tokens": [\n{lines}\n]}}\n'

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens and bytes included."""
        return len(self._tokens)

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """<unk>, BOS and EOS by their spelling in the file."""
        return self._special_tokens

    @property
    def bos_id(self) -> int | None:
        """1."""
        return BOS

    @property
    def eos_id(self) -> int | None:
        """Also 1: documents are separated by the BOS of the next one, and llama2.c stops there."""
        return BOS

    @property
    def unk_id(self) -> int | None:
        """0; text never needs it, because bytes express everything."""
        return UNK

    def token_bytes(self, token_id: int) -> bytes:
        """Bytes that one id stands for; a special token stands for its spelling."""
        if not 0 <= token_id < len(self._token_bytes):
            raise self._unknown_id(token_id)
        return self._token_bytes[token_id]

    def encode_prompt(self, text: str) -> list[int]:
        """BOS and the ids of the text."""
        return [BOS, *self.encode(text)]

    def bytes_after(self, previous: int | None, token_id: int) -> bytes:
        """Right after BOS, without the leading space that `encode` puts there."""
        raw = self.token_bytes(token_id)
        return raw.removeprefix(b" ") if previous == BOS else raw

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Exact bytes of a sequence of ids; an opening BOS and the space after it are left out."""
        pieces: list[bytes] = []
        previous: int | None = None
        for token in ids:
            if previous is not None or token != BOS:
                pieces.append(self.bytes_after(previous, token))
            previous = token
        return b"".join(pieces)

    def _encode(self, text: str, allow_special: bool) -> list[int]:
        if not allow_special:
            return self._encode_plain(text)
        ids: list[int] = []
        while text:
            found = [(text.find(token), token) for token in self._special_tokens]
            position, token = min((item for item in found if item[0] >= 0), default=(len(text), ""))
            ids += self._encode_plain(text[:position])
            if token:
                ids.append(self._special_tokens[token])
            text = text[position + len(token) :]
        return ids

    def _encode_plain(self, text: str) -> list[int]:
        if not text:
            return []
        ids: list[int] = []
        for character in " " + text:
            known = self._ids.get(character)
            ids += [FIRST_BYTE + byte for byte in character.encode()] if known is None else [known]
        return self._merge(ids)

    def _merge(self, ids: list[int]) -> list[int]:
        """Merge neighbours, the highest score first and the leftmost among equals, until none can be merged.

        The symbols form a linked list and the candidates a heap, so the cost is O(n log n). A candidate whose
        symbols have changed since it was pushed is stale and passed over.
        """
        symbols: list[int | None] = list(ids)
        after = [*range(1, len(ids)), -1]
        before = [*range(-1, len(ids) - 1)]

        def candidate(left: int) -> tuple[float, int, int, int, int] | None:
            """(-score, place, left id, right id, merged id) of the pair that begins at `left`."""
            right = after[left]
            a, b = symbols[left], symbols[right]
            if right < 0 or a is None or b is None or not (self._mergeable(a) and self._mergeable(b)):
                return None
            merged = self._ids.get(self._tokens[a][0] + self._tokens[b][0])
            return None if merged is None else (-self._tokens[merged][1], left, a, b, merged)

        heap = [found for left in range(len(ids) - 1) if (found := candidate(left))]
        heapify(heap)
        while heap:
            _, left, a, b, merged = heappop(heap)
            right = after[left]
            if right < 0 or symbols[left] != a or symbols[right] != b:
                continue
            symbols[left], symbols[right] = merged, None
            after[left] = after[right]
            if after[right] >= 0:
                before[after[right]] = left
            for place in (before[left], left):
                if place >= 0 and (found := candidate(place)):
                    heappush(heap, found)
        return [symbol for symbol in symbols if symbol is not None]

    @staticmethod
    def _mergeable(token_id: int) -> bool:
        """A byte token stands for its byte, not for the six characters of its name."""
        return token_id >= _ORDINARY
