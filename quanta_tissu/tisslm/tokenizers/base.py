"""What every tokenizer does, and the rules that all of them share.

A concrete tokenizer supplies its vocabulary (`vocab_size`, `special_tokens`, `token_bytes`), how plain text
becomes ids (`_encode`) and its file (`to_json`). Refusing special tokens in user text, checking ids, decoding and
saving are the same for all and live here.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from quanta_tissu.errors import TokenizerError


class Piece(NamedTuple):
    """One token of a text: its id, its exact bytes, and those bytes as readable text."""

    id: int
    bytes: bytes
    text: str


class Tokenizer(ABC):
    """Text to token ids and back.

    Ids are 0 … vocab_size - 1. Every id stands for a fixed byte string, so `decode_bytes` is exact and
    `decode_bytes(a + b) == decode_bytes(a) + decode_bytes(b)`.

    Attributes:
        kind: Name of the tokenizer family, as in the configuration.
    """

    kind: ClassVar[str]

    # -- the vocabulary ------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of token ids, special tokens included."""

    @property
    @abstractmethod
    def special_tokens(self) -> Mapping[str, int]:
        """Ids of the tokens that never come from ordinary text, by their spelling."""

    @abstractmethod
    def token_bytes(self, token_id: int) -> bytes:
        """Bytes that one id stands for; a special token stands for its spelling.

        Raises:
            TokenizerError: The id is outside the vocabulary.
        """

    @property
    def bos_id(self) -> int | None:
        """Id that opens a sequence, if the vocabulary has one."""
        return None

    @property
    def eos_id(self) -> int | None:
        """Id that ends a document, if the vocabulary has one."""
        return None

    @property
    def pad_id(self) -> int | None:
        """Id that fills the short rows of a batch, if the vocabulary has one."""
        return None

    @property
    def unk_id(self) -> int | None:
        """Id of what the vocabulary cannot express, if it has one."""
        return None

    # -- text to ids ---------------------------------------------------------------------------------------------

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Ids of a text, without anything added at its ends.

        Args:
            text: Any text; the spelling of a special token in it is refused by default, because text from
                outside must not be able to end a document or impersonate the markup of a prompt.
            allow_special: Turn spellings of special tokens into their ids instead.

        Raises:
            TokenizerError: A special token, a lone surrogate or an inexpressible character is in the text, or the
                tokenizer is not trained.
        """
        self._check_text(text, allow_special)
        return self._encode(text, allow_special)

    def encode_batch(self, texts: Sequence[str], *, allow_special: bool = False) -> list[list[int]]:
        """Ids of each text; the same as `encode` on each, possibly in parallel."""
        return [self.encode(text, allow_special=allow_special) for text in texts]

    def encode_prompt(self, text: str) -> list[int]:
        """Ids of a text to continue: `encode`, after whatever its models expect before any text."""
        return self.encode(text)

    @abstractmethod
    def _encode(self, text: str, allow_special: bool) -> list[int]:
        """Ids of a text that `_check_text` let through."""

    def _check_text(self, text: str, allow_special: bool) -> None:
        check_unicode(text)
        if allow_special:
            return
        found = [(text.find(token), token) for token in self.special_tokens]
        position, token = min((item for item in found if item[0] >= 0), default=(-1, ""))
        if token:
            raise TokenizerError(
                f"the text has the special token {token!r} at position {position}",
                hint="remove it from the text, or allow special tokens (allow_special=True, --allow-special) if "
                "the text is trusted",
            )

    # -- ids to text ---------------------------------------------------------------------------------------------

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Exact bytes of a sequence of ids, which may begin or end inside a UTF-8 character.

        Raises:
            TokenizerError: An id is outside the vocabulary.
        """
        return b"".join(map(self.token_bytes, ids))

    def bytes_after(self, previous: int | None, token_id: int) -> bytes:
        """Bytes that one id adds to a text whose last id is `previous` (None at the beginning).

        The bytes of the id itself, unless the tokenizer marks the beginning of a text by a space of its own.
        """
        return self.token_bytes(token_id)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of a sequence of ids; bytes that are not UTF-8 become U+FFFD, special tokens their spelling."""
        return self.decode_bytes(ids).decode(errors="replace")

    def pieces(self, text: str, *, allow_special: bool = False) -> list[Piece]:
        """The tokens of a text, for people to look at; half a UTF-8 character shows as U+FFFD."""
        pieces = []
        for token_id in self.encode(text, allow_special=allow_special):
            raw = self.token_bytes(token_id)
            pieces.append(Piece(token_id, raw, raw.decode(errors="replace")))
        return pieces

    def _unknown_id(self, token_id: int) -> TokenizerError:
        return TokenizerError(
            f"token id {token_id} is outside the vocabulary, 0 … {self.vocab_size - 1}",
            hint="the ids probably come from another tokenizer than this one",
        )

    # -- the file ------------------------------------------------------------------------------------------------

    @abstractmethod
    def to_json(self) -> str:
        """The whole tokenizer as one JSON text; equal tokenizers give equal texts."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one JSON file, complete or not at all.

        Args:
            path: The file to write, `tokenizer.json` by custom; `tokenizers.load` reads it back.
        """
        target = Path(path)
        partial = target.with_name(f".{target.name}.partial")
        partial.write_text(self.to_json(), encoding="utf-8")
        partial.replace(target)

    def fingerprint(self) -> str:
        """SHA-256 of the file, in hexadecimal: equal fingerprints encode alike."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.vocab_size:,} tokens>"


def check_unicode(text: str) -> None:
    """Refuse text that UTF-8 cannot express.

    Raises:
        TokenizerError: The text has half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"the text has a lone surrogate {text[error.start]!r} at position {error.start}, which UTF-8 cannot "
            "express",
            hint="read the text with errors='replace', or remove the character",
        ) from None
