"""Text to token ids and back: characters, byte-level BPE, and adapters."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers.base import Piece, Tokenizer
from quanta_tissu.tisslm.tokenizers.bpe import BPETokenizer
from quanta_tissu.tisslm.tokenizers.character import CharacterTokenizer
from quanta_tissu.tisslm.tokenizers.scored_bpe import ScoredBPETokenizer

if TYPE_CHECKING:
    from quanta_tissu.tisslm.config import TokenizerConfig

__all__ = ["BPETokenizer", "CharacterTokenizer", "Piece", "ScoredBPETokenizer", "Tokenizer", "load", "train"]


def load(path: str | os.PathLike[str]) -> Tokenizer:
    """Read a tokenizer file of any kind.

    Args:
        path: What `Tokenizer.save` wrote, a `tokenizer.json` of the `tokenizers` library with GPT-2's rules,
            or a folder with a `tokenizer.json` in it, such as a checkpoint.

    Raises:
        TokenizerError: The file is missing, unreadable, or no tokenizer that is supported.
    """
    file = Path(path)
    try:
        if file.is_dir():
            file /= "tokenizer.json"
        raw = file.read_bytes()
    except (OSError, ValueError) as error:
        raise TokenizerError(
            f"cannot read the tokenizer {file}: {getattr(error, 'strerror', error)}",
            hint="name a tokenizer.json, or a checkpoint folder that has one",
        ) from None
    if raw.startswith(b"GGUF"):
        raise TokenizerError(
            f"{file} is a GGUF file, not a tokenizer.json",
            hint="write its tokenizer to a file first: tissu tokenizer convert FILE.gguf --out tokenizer.json",
        )
    try:
        text = raw.decode()
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TokenizerError(
            f"the tokenizer {file} is not JSON: {error}",
            hint="the file may be truncated, or be something else; train or export the tokenizer again",
        ) from None
    try:
        return _read(data, text)
    except TokenizerError as error:
        raise TokenizerError(f"cannot use the tokenizer {file}: {error.message}", hint=error.hint) from None


def _read(data: object, text: str) -> Tokenizer:
    kind = data.get("type", "bpe" if "model" in data else None) if isinstance(data, dict) else None
    if kind == "bpe":
        return BPETokenizer.from_json(text)
    if kind == "character":
        return CharacterTokenizer.from_json(text)
    if kind == "llama2c":
        return ScoredBPETokenizer.from_json(text)
    raise TokenizerError(
        "it has neither the field 'model' of a tokenizer.json nor a known 'type'"
        if kind is None
        else f"its type {kind!r} is unknown",
        hint="supported: files written by this package, and byte-level BPE of the tokenizers library",
    )


def train(config: TokenizerConfig, texts: Iterable[str]) -> Tokenizer:
    """Train the tokenizer that a configuration asks for, or load it where `config.path` names one.

    Preparing a dataset gives it the whole source, so BPE merges and the set of characters also know the text that
    later validates.

    Args:
        config: The `tokenizer` section.
        texts: Training texts, read once; not read at all if `config.path` is set. Special tokens spelled in them
            are not learned.

    Raises:
        TokenizerError: The texts are empty, the vocabulary is too small, or `config.path` cannot be used.
    """
    if config.path is not None:
        return load(config.path)
    if config.kind == "character":
        return CharacterTokenizer.train(texts, special_tokens=config.special_tokens)
    tokenizer = BPETokenizer()
    tokenizer.train(texts, config.vocab_size)
    return tokenizer
