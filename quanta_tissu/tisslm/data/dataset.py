"""A prepared dataset: two memory-mapped streams of tokens and a manifest that says what they are.

train.bin         token ids, little-endian uint16 (vocabularies up to 65,536) or uint32, nothing else
validation.bin    the same
tokenizer.json    the tokenizer that made them
manifest.json     counts, hashes and provenance (`Manifest`)
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from quanta_tissu.atomic_directory import find
from quanta_tissu.errors import DataError
from quanta_tissu.tisslm import tokenizers
from quanta_tissu.tisslm.tokenizers.base import Tokenizer

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
FORMAT: Literal["tissu-tokens-1"] = "tissu-tokens-1"

Split = Literal["train", "validation", "all"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SplitRecord(_Record):
    """One token file.

    Attributes:
        tokens: Number of tokens.
        text_bytes: Bytes of UTF-8 text that these tokens stand for; special tokens stand for none, whether they
            end documents or were spelled in the text.
        sha256: Of the file.
    """

    tokens: NonNegativeInt
    text_bytes: int
    sha256: str


class SourceRecord(_Record):
    """The text that was tokenized.

    Attributes:
        description: What the user named.
        documents: Documents with text in them.
        text_bytes: Bytes of their UTF-8 text, special tokens spelled in it included.
        text_field: The field of JSONL objects that was read.
        max_bytes: The limit in bytes of text; None for none.
        sha256: Of all texts in the order of the tokens, with a zero byte between two documents: for a single file,
            the hash of the file.
    """

    description: str
    documents: int
    text_bytes: int
    text_field: str = "text"
    max_bytes: int | None = None
    sha256: str


class TokenizerRecord(_Record):
    """The tokenizer that made the tokens.

    Attributes:
        kind: Its family.
        vocab_size: Its number of ids.
        fingerprint: SHA-256 of its file.
        eos_id: The id that ends a document, if it has one.
    """

    kind: str
    vocab_size: int
    fingerprint: str
    eos_id: int | None


class Manifest(_Record):
    """What a prepared dataset is made of.

    Attributes:
        format: Name and version of the layout of the folder.
        dtype: Element type of the token files.
        separated: Whether EOS ends every document.
        allow_special: Whether special tokens spelled in the text were taken as what they are, and not refused.
        validation_split_ratio: Share of the tokens in validation.bin.
        shuffle_seed: Seed of the order of the documents; None where they were not shuffled.
    """

    format: Literal["tissu-tokens-1"]
    source: SourceRecord
    tokenizer: TokenizerRecord
    dtype: Literal["uint16", "uint32"]
    separated: bool
    allow_special: bool = False
    validation_split_ratio: float
    shuffle_seed: int | None
    train: SplitRecord
    validation: SplitRecord


class TokenDataset:
    """The token streams of a prepared dataset, read from disk as they are needed.

    Args:
        path: The folder.
        manifest: What its manifest says.
        train: Tokens of the training split (N,).
        validation: Tokens of the validation split (N,).
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        train: NDArray[np.unsignedinteger],
        validation: NDArray[np.unsignedinteger],
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.train = train
        self.validation = validation

    @classmethod
    def open(cls, path: str | Path, *, tokenizer: Tokenizer | None = None, verify: bool = False) -> Self:
        """Open a folder that `prepare` wrote.

        Args:
            path: The folder.
            tokenizer: If given, the tokens must have been made by it.
            verify: Read both files through and compare their hashes, besides their sizes.

        Raises:
            DataError: The folder is no prepared dataset, is damaged, or belongs to another tokenizer.
        """
        folder = find(Path(path)) or Path(path)
        manifest = _read_manifest(folder)
        if tokenizer is not None and tokenizer.fingerprint() != manifest.tokenizer.fingerprint:
            raise DataError(
                f"the dataset {folder} was made by another tokenizer ({manifest.tokenizer.kind}, "
                f"{manifest.tokenizer.vocab_size:,} tokens) than this one ({tokenizer.kind}, "
                f"{tokenizer.vocab_size:,} tokens)",
                hint="prepare the text again with this tokenizer: `tissu data prepare --tokenizer FILE`",
            )
        train = _checked_tokens(folder / "train.bin", manifest.dtype, manifest.train, verify)
        validation = _checked_tokens(folder / "validation.bin", manifest.dtype, manifest.validation, verify)
        return cls(folder, manifest, train, validation)

    @property
    def tokenizer_path(self) -> Path:
        """File of the tokenizer that made the tokens."""
        return self.path / TOKENIZER

    def load_tokenizer(self) -> Tokenizer:
        """The tokenizer that made the tokens.

        Raises:
            DataError: The file in the folder is not the one that made them.
            TokenizerError: The file is missing or malformed.
        """
        tokenizer = tokenizers.load(self.tokenizer_path)
        if tokenizer.fingerprint() != self.manifest.tokenizer.fingerprint:
            raise DataError(
                f"{self.tokenizer_path} is not the tokenizer that made the tokens beside it",
                hint="prepare the dataset again",
            )
        return tokenizer

    def tokens(self, split: Split) -> NDArray[np.unsignedinteger]:
        """Tokens of a split; "all" copies both into memory, one after the other."""
        if split == "all":
            return np.concatenate([self.train, self.validation])
        return self.train if split == "train" else self.validation

    def text_bytes(self, split: Split) -> int:
        """Bytes of text that a split stands for, to turn nats per token into bits per byte."""
        if split == "all":
            return self.manifest.train.text_bytes + self.manifest.validation.text_bytes
        return self.manifest.train.text_bytes if split == "train" else self.manifest.validation.text_bytes


def is_prepared(path: str | Path) -> bool:
    """Whether this is the folder of a prepared dataset (intact or not), to be opened rather than tokenized."""
    folder = find(Path(path)) or Path(path)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and str(manifest.get("format", "")).startswith("tissu-tokens-")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def map_tokens(path: Path, dtype: np.dtype[Any]) -> NDArray[np.unsignedinteger]:
    """The tokens in a file (N,), read as they are needed."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype)  # an empty file cannot be mapped
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))  # a plain view: memmap's own indexing is slower


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder} is not a prepared dataset: it has no {MANIFEST}",
            hint="make one with `tissu data prepare --data SOURCE --out DIR`",
        )
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        where = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        field = ".".join(str(part) for part in where["loc"]) or "the file"
        raise DataError(
            f"{path} is not the manifest of a prepared dataset in the format {FORMAT}: {field}: {where['msg']}",
            hint="prepare the dataset again",
        ) from None


def _checked_tokens(
    path: Path, dtype: Literal["uint16", "uint32"], record: SplitRecord, verify: bool
) -> NDArray[np.unsignedinteger]:
    if not path.is_file():
        raise DataError(f"the dataset has lost its file {path}", hint="prepare the dataset again")
    element = np.dtype(dtype).newbyteorder("<")
    expected, found = record.tokens * element.itemsize, path.stat().st_size
    if found != expected:
        raise DataError(
            f"{path} has {found:,} bytes, but {record.tokens:,} tokens of {dtype} are {expected:,} bytes",
            hint="the file was truncated or replaced; prepare the dataset again",
        )
    if verify and file_hash(path) != record.sha256:
        raise DataError(f"{path} is not what was prepared: its SHA-256 differs", hint="prepare the dataset again")
    return map_tokens(path, element)
