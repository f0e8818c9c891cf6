"""Byte-level BPE, fast: the `tokenizers` library, stored as its `tokenizer.json` with GPT-2's pre-tokenizer.

`reference_bpe.py` is the same algorithm in a form to be read; the tests hold the two equal on real text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers.base import Tokenizer, check_unicode
from quanta_tissu.tisslm.tokenizers.byte_alphabet import to_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer as LibraryTokenizer

END_OF_TEXT = "<|endoftext|>"
"""GPT-2's special token: it ends and separates documents, opens a sequence, and fills short rows of a batch."""

MIN_VOCAB_SIZE = 256 + 1
"""The 256 bytes and `END_OF_TEXT`."""

# The library splits a batch among its threads and keeps about 100 bytes per token until it returns. So long texts
# are cut into pieces for the threads, and a long batch goes to it in portions.
_PIECE_CHARACTERS = 1 << 14
_PORTION_CHARACTERS = 1 << 21

# No alternative of GPT-2's pattern matches white space after anything else, or a sign after a letter or number.
# So no token crosses these places, and a text cut here gives the same ids.
_SAFE_CUT = re.compile(r"\S(?=[ \n])|[^\W_](?=[!-/:-@\[-`{-~、。，！？；：])")


class BPETokenizer(Tokenizer):
    """Byte-level BPE: any text has ids, and common words have one.

    Args:
        library: A configured tokenizer of the `tokenizers` library; None is a tokenizer still to be trained.

    Raises:
        TokenizerError: The library's tokenizer is not byte-level BPE with GPT-2's pre-tokenizer.
    """

    kind: ClassVar[str] = "bpe"

    def __init__(self, library: LibraryTokenizer | None = None) -> None:
        self._library: LibraryTokenizer | None = None
        self._token_bytes: list[bytes] = []
        self._special_tokens: dict[str, int] = {}
        if library is not None:
            self._adopt(library)

    @classmethod
    def from_json(cls, text: str) -> BPETokenizer:
        """Read the text of a `tokenizer.json`.

        Raises:
            TokenizerError: The text is malformed, or describes another kind of tokenizer.
        """
        try:
            library = _library_class().from_str(text)
        except Exception as error:  # the library raises plain Exception
            raise TokenizerError(
                f"this is no tokenizer.json of the tokenizers library: {error}",
                hint="the file may be truncated; train or export the tokenizer again",
            ) from None
        return cls(library)

    @classmethod
    def from_vocabulary(
        cls, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], special_tokens: Iterable[str]
    ) -> BPETokenizer:
        """Build from a vocabulary made elsewhere.

        Args:
            vocabulary: Ids of all tokens, written in GPT-2's byte alphabet.
            merges: Pairs of tokens in the order they are applied.
            special_tokens: Tokens of the vocabulary that never come from ordinary text.

        Raises:
            TokenizerError: A merge uses a token that is not in the vocabulary, or a byte is missing.
        """
        from tokenizers import models

        try:
            library = _new_library(models.BPE(vocab=dict(vocabulary), merges=list(merges)))
        except Exception as error:  # the library raises plain Exception
            raise TokenizerError(
                f"the vocabulary and its merges do not fit together: {error}",
                hint="a merge may only join and produce tokens of the vocabulary",
            ) from None
        _add_special_tokens(library, special_tokens)
        return cls(library)

    def train(self, texts: Iterable[str], vocab_size: int, *, min_frequency: int = 2) -> None:
        """Learn the merges from texts; replaces whatever was learned before.

        Equally frequent pairs merge in the order of their ids, so the result depends on the texts alone.

        Args:
            texts: Training texts; `END_OF_TEXT` in them separates documents and is not learned.
            vocab_size: Number of ids to reach, special tokens included; a small text gives fewer.
            min_frequency: A pair of tokens seen less often is not merged.

        Raises:
            TokenizerError: `vocab_size` cannot hold the bytes and the special token, or the texts are empty.
        """
        from tokenizers import models, pre_tokenizers, trainers

        if vocab_size < MIN_VOCAB_SIZE:
            raise TokenizerError(
                f"vocab_size = {vocab_size} is too small: byte-level BPE needs the 256 bytes and {END_OF_TEXT!r}",
                hint=f"choose a vocab_size of {MIN_VOCAB_SIZE} or more",
            )
        seen = 0

        def pieces() -> Iterator[str]:
            nonlocal seen
            for text in texts:
                check_unicode(text)
                for document in text.split(END_OF_TEXT):
                    seen += len(document)
                    yield from _cut(document)

        library = _new_library(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - 1,
            min_frequency=min_frequency,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
        library.train_from_iterator(pieces(), trainer)
        if not seen:
            raise TokenizerError("the training text is empty", hint="train on a source that has text")
        _add_special_tokens(library, [END_OF_TEXT])
        self._adopt(library)

    def _adopt(self, library: LibraryTokenizer) -> None:
        description = json.loads(library.to_str())
        _check_supported(description)
        # Some files carry the truncation or padding of a training run; an encoder must not drop text.
        library.no_truncation()
        library.no_padding()
        special = {token["content"]: token["id"] for token in description["added_tokens"]}
        vocabulary = library.get_vocab(with_added_tokens=True)
        tokens = sorted(vocabulary, key=vocabulary.__getitem__)
        if [vocabulary[token] for token in tokens] != list(range(len(tokens))):
            raise TokenizerError(
                f"the {len(tokens)} ids of the vocabulary are not 0 … {len(tokens) - 1}",
                hint="a vocabulary with gaps or ids used twice is not supported",
            )
        self._token_bytes = [token.encode() if token in special else to_bytes(token) for token in tokens]
        missing = set(range(256)) - {raw[0] for raw in self._token_bytes if len(raw) == 1}
        if missing:
            raise TokenizerError(
                f"the vocabulary has no token for {len(missing)} of the 256 bytes, {min(missing):#04x} first",
                hint="only byte-level BPE, which can express any text, is supported",
            )
        self._special_tokens = special
        self._library = library

    @property
    def _trained(self) -> LibraryTokenizer:
        if self._library is None:
            raise TokenizerError(
                "the BPE tokenizer is not trained", hint="call train(texts, vocab_size), or load a tokenizer file"
            )
        return self._library

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens included; 0 before training."""
        return len(self._token_bytes)

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Ids of the special tokens by their spelling."""
        return self._special_tokens

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """Pairs of tokens in the order they are merged."""
        pairs = json.loads(self._trained.to_str())["model"]["merges"]
        return [(to_bytes(left), to_bytes(right)) for left, right in pairs]

    @property
    def bos_id(self) -> int | None:
        """Id of `END_OF_TEXT`, which opens a sequence."""
        return self._special_tokens.get(END_OF_TEXT)

    @property
    def eos_id(self) -> int | None:
        """Id of `END_OF_TEXT`, which ends a document."""
        return self._special_tokens.get(END_OF_TEXT)

    @property
    def pad_id(self) -> int | None:
        """Id of `END_OF_TEXT`, which fills the short rows of a batch."""
        return self._special_tokens.get(END_OF_TEXT)

    def token_bytes(self, token_id: int) -> bytes:
        """Bytes that one id stands for."""
        self._trained  # noqa: B018 - raises if there is no vocabulary yet
        if not 0 <= token_id < len(self._token_bytes):
            raise self._unknown_id(token_id)
        return self._token_bytes[token_id]

    def _encode(self, text: str, allow_special: bool) -> list[int]:
        return self._encode_checked([text], allow_special)[0]

    def encode_batch(self, texts: Sequence[str], *, allow_special: bool = False) -> list[list[int]]:
        """Ids of each text, on all cores; time and memory grow linearly with the text."""
        for text in texts:
            self._check_text(text, allow_special)
        return self._encode_checked(texts, allow_special)

    def _encode_checked(self, texts: Sequence[str], allow_special: bool) -> list[list[int]]:
        library = self._trained
        encoded: list[list[int]] = [[] for _ in texts]
        portion: list[str] = []
        owners: list[int] = []
        size = 0

        def flush() -> None:
            if len(portion) == 1:
                encoded[owners[0]] += library.encode(portion[0], add_special_tokens=False).ids
            elif portion:
                results = library.encode_batch_fast(portion, add_special_tokens=False)
                for owner, result in zip(owners, results, strict=True):
                    encoded[owner] += result.ids
            portion.clear()
            owners.clear()

        for index, text in enumerate(texts):
            for piece in self._pieces_of(text, allow_special):
                portion.append(piece)
                owners.append(index)
                size += len(piece)
                if size >= _PORTION_CHARACTERS:
                    flush()
                    size = 0
        flush()
        return encoded

    def _pieces_of(self, text: str, allow_special: bool) -> Iterator[str]:
        """Cut a text where it changes no id: around special tokens, and where no token can cross."""
        if not (allow_special and self._special_tokens):
            yield from _cut(text)
            return
        longest_first = sorted(self._special_tokens, key=len, reverse=True)
        for i, part in enumerate(re.split(f"({'|'.join(map(re.escape, longest_first))})", text)):
            if i % 2:
                yield part
            else:
                yield from _cut(part)

    def to_json(self) -> str:
        """The library's `tokenizer.json`."""
        return self._trained.to_str(pretty=True)


def _cut(text: str) -> Iterator[str]:
    """Cut a text where no token can cross, into pieces of about `_PIECE_CHARACTERS` where its words allow."""
    start = 0
    while len(text) - start > _PIECE_CHARACTERS:
        place = _SAFE_CUT.search(text, start + _PIECE_CHARACTERS - 1)
        if place is None:
            break
        yield text[start : place.end()]
        start = place.end()
    if start < len(text):
        yield text[start:]


def _new_library(model: Any) -> LibraryTokenizer:
    """A tokenizer of the library with GPT-2's pre-tokenizer around a BPE model."""
    from tokenizers import decoders, pre_tokenizers

    library = _library_class()(model)
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    return library


def _add_special_tokens(library: LibraryTokenizer, tokens: Iterable[str]) -> None:
    from tokenizers import AddedToken

    library.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])


def _check_supported(description: dict[str, Any]) -> None:
    """Refuse every setting of a `tokenizer.json` under which GPT-2's rules do not hold."""
    model, pre_tokenizer = description["model"], description["pre_tokenizer"] or {}
    added = description["added_tokens"]
    wrong = {
        f"a model of type {model['type']!r}": model["type"] != "BPE",
        f"the normalizer {description['normalizer']!r}": description["normalizer"] is not None,
        f"the pre-tokenizer {pre_tokenizer!r}": pre_tokenizer.get("type") != "ByteLevel"
        or pre_tokenizer["add_prefix_space"]
        or not pre_tokenizer["use_regex"],
        "dropout of merges": bool(model.get("dropout")),
        "byte fallback": bool(model.get("byte_fallback")),
        "whole words looked up before merging": bool(model.get("ignore_merges")),
        "prefixes or suffixes inside words": bool(
            model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
        ),
        "added tokens that are not special": any(not token["special"] for token in added),
        "added tokens that swallow space or match whole words": any(
            token["lstrip"] or token["rstrip"] or token["single_word"] for token in added
        ),
    }
    found = [what for what, present in wrong.items() if present]
    if found:
        raise TokenizerError(
            f"the tokenizer has {'; '.join(found)}",
            hint="byte-level BPE with GPT-2's pre-tokenizer is what is supported",
        )


@cache
def _library_class() -> type[LibraryTokenizer]:
    """Import the library, and make its threads safe for programs that fork.

    A forked process has none of the library's threads and would wait for them for ever. The library turns its
    threads off in such a process and prints a warning, unless TOKENIZERS_PARALLELISM is set: then it trusts that.
    So it is set to false while forking and in the new process; the old process keeps its threads.
    """
    from tokenizers import Tokenizer as LibraryTokenizer

    name = "TOKENIZERS_PARALLELISM"
    before: list[str | None] = []

    def turn_off() -> None:
        before.append(os.environ.get(name))
        os.environ[name] = "false"

    def restore() -> None:
        value = before.pop()
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value

    if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
        os.register_at_fork(before=turn_off, after_in_parent=restore)
    return LibraryTokenizer
