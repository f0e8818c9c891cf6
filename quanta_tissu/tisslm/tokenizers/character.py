"""One id per character: a vocabulary that can be read at a glance, and nanoGPT's for its character models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers.base import Tokenizer, check_unicode

SPECIAL_TOKENS: dict[str, int] = {"<|pad|>": 0, "<|bos|>": 1, "<|eos|>": 2, "<|unk|>": 3}
"""Spellings of PAD, BOS, EOS and UNK, and their fixed ids."""

_SPELLINGS = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))


class CharacterTokenizer(Tokenizer):
    """One id per Unicode character, in the order of their code points.

    Args:
        characters: The characters that have an id, each once.
        special_tokens: Reserve ids 0-3 for PAD, BOS, EOS and UNK, so that characters start at 4. Without them
            characters start at 0 and an unknown character is an error.

    Raises:
        TokenizerError: A character is missing its other half (a lone surrogate), or is there twice.
    """

    kind: ClassVar[str] = "character"

    def __init__(self, characters: str, *, special_tokens: bool = True) -> None:
        check_unicode(characters)
        if len(set(characters)) != len(characters):
            twice = next(c for i, c in enumerate(characters) if c in characters[:i])
            raise TokenizerError(
                f"the character {twice!r} is in the vocabulary twice", hint="list each character once"
            )
        self._characters = characters
        self._special_tokens = dict(SPECIAL_TOKENS) if special_tokens else {}
        first = len(self._special_tokens)
        self._ids = {character: first + i for i, character in enumerate(characters)}
        self._token_bytes: list[bytes] = [token.encode() for token in (*self._special_tokens, *characters)]

    @classmethod
    def train(cls, texts: Iterable[str], *, special_tokens: bool = True) -> CharacterTokenizer:
        """Collect the characters of some texts, sorted by code point.

        Args:
            texts: Training texts; special tokens spelled in them are not learned, if they are reserved.
            special_tokens: Reserve ids 0-3 for PAD, BOS, EOS and UNK.

        Raises:
            TokenizerError: The texts are empty.
        """
        characters: set[str] = set()
        for text in texts:
            for part in _SPELLINGS.split(text) if special_tokens else [text]:
                characters.update(part)
        if not characters:
            raise TokenizerError("the training text is empty", hint="train on a source that has text")
        return cls("".join(sorted(characters)), special_tokens=special_tokens)

    @classmethod
    def from_json(cls, text: str) -> CharacterTokenizer:
        """Read what `to_json` wrote.

        Raises:
            TokenizerError: The text is malformed.
        """
        try:
            data: Any = json.loads(text)
        except ValueError as error:
            raise TokenizerError(f"the character tokenizer is not JSON: {error}") from None
        expected = {"type": str, "version": int, "special_tokens": bool, "characters": str}
        if not isinstance(data, dict) or {key: type(value) for key, value in data.items()} != expected:
            raise TokenizerError(
                f"a character tokenizer's file has exactly the fields {', '.join(expected)}, each of its type",
                hint="the file was edited or damaged; train the tokenizer again",
            )
        if (data["type"], data["version"]) != ("character", 1):
            raise TokenizerError(
                f"type {data['type']!r} version {data['version']} is not a character tokenizer of version 1",
                hint="it may come from a newer release of this package",
            )
        return cls(data["characters"], special_tokens=data["special_tokens"])

    @property
    def characters(self) -> str:
        """The characters that have an id, in the order of their ids."""
        return self._characters

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens included."""
        return len(self._token_bytes)

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """PAD, BOS, EOS and UNK, or nothing."""
        return self._special_tokens

    @property
    def pad_id(self) -> int | None:
        """0, or None without special tokens."""
        return self._special_tokens.get("<|pad|>")

    @property
    def bos_id(self) -> int | None:
        """1, or None without special tokens."""
        return self._special_tokens.get("<|bos|>")

    @property
    def eos_id(self) -> int | None:
        """2, or None without special tokens."""
        return self._special_tokens.get("<|eos|>")

    @property
    def unk_id(self) -> int | None:
        """3, or None without special tokens."""
        return self._special_tokens.get("<|unk|>")

    def token_bytes(self, token_id: int) -> bytes:
        """UTF-8 of one character, or the spelling of a special token."""
        if not 0 <= token_id < len(self._token_bytes):
            raise self._unknown_id(token_id)
        return self._token_bytes[token_id]

    def _encode(self, text: str, allow_special: bool) -> list[int]:
        if not (allow_special and self._special_tokens):
            return self._encode_characters(text, 0)
        ids: list[int] = []
        position = 0
        for part in re.split(f"({'|'.join(map(re.escape, self._special_tokens))})", text):
            special = self._special_tokens.get(part)
            ids += self._encode_characters(part, position) if special is None else [special]
            position += len(part)
        return ids

    def _encode_characters(self, text: str, offset: int) -> list[int]:
        ids = self._ids
        if self.unk_id is not None:
            unknown = self.unk_id
            return [ids.get(character, unknown) for character in text]
        try:
            return [ids[character] for character in text]
        except KeyError:
            position = next(i for i, character in enumerate(text) if character not in ids)
            raise TokenizerError(
                f"the character {text[position]!r} at position {offset + position} is not in the vocabulary of "
                f"{len(ids)} characters, which has no UNK",
                hint="remove it, or train the tokenizer on text that has it, or with special tokens and so an UNK",
            ) from None

    def to_json(self) -> str:
        """Fields type, version, special_tokens and characters."""
        data = {
            "type": "character",
            "version": 1,
            "special_tokens": bool(self._special_tokens),
            "characters": self._characters,
        }
        return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
