"""From text to a prepared dataset: tokenize, split, describe; in one pass and in constant memory.

The tokenizer comes from outside. `tissu train` and `tissu data prepare` train it on the whole source, so BPE
merges and the set of characters also know the text that validates, as nanoGPT's character vocabulary does. Once
prepared, a dataset decides its tokenizer and its split: training takes both from the folder.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.atomic_directory import DirectoryKind, refuse_strangers, replacing
from quanta_tissu.errors import DataError, TokenizerError
from quanta_tissu.tisslm.config import DataConfig
from quanta_tissu.tisslm.data.dataset import (
    FORMAT,
    MANIFEST,
    TOKENIZER,
    Manifest,
    SourceRecord,
    SplitRecord,
    TokenDataset,
    TokenizerRecord,
    file_hash,
    is_prepared,
    map_tokens,
)
from quanta_tissu.tisslm.data.readers import Document
from quanta_tissu.tisslm.data.sources import Source
from quanta_tissu.tisslm.tokenizers.base import Tokenizer

CHUNK_BYTES = 1 << 22
"""Text tokenized at once; its tokens take about ten times as much memory for a moment."""

MIN_TOKENS = 2
"""Tokens without which a split has nothing to predict."""

_REFUSED = "remove it from the text, or use a tokenizer whose vocabulary has what the text is made of"
_SPECIAL = (
    "remove it from the text; or, if the text is trusted, prepare it with data.allow_special = true, which takes "
    "special tokens in the text as what they are"
)

DATASET = DirectoryKind("prepared dataset", DataError, is_prepared)

Progress = Callable[[int], None]
"""Called with the bytes of text read so far."""


@dataclass
class Tally:
    """What went through `tokenize`.

    Attributes:
        documents: Documents that have text.
        text_bytes: Bytes of their UTF-8 text.
        special_bytes: How many of these bytes spell special tokens that were taken as what they are.
        separated: Whether EOS ends every document.
    """

    documents: int = 0
    text_bytes: int = 0
    special_bytes: int = 0
    separated: bool = False
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _inside: bool = False

    def starts_document(self, document: Document) -> bool:
        """Count a document or a piece of one; whether it is the first piece."""
        first = not self._inside
        if first and self.documents:
            self._hash.update(b"\0")
        raw = document.text.encode()
        self._hash.update(raw)
        self.text_bytes += len(raw)
        self.documents += first
        self._inside = not document.complete
        return first

    @property
    def sha256(self) -> str:
        """Hash of all texts so far, with a zero byte between documents."""
        return self._hash.hexdigest()


def tokenize(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    *,
    packed: bool = False,
    allow_special: bool = False,
    tally: Tally | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Token ids of all documents, one after the other, in chunks.

    Every document ends with EOS if the tokenizer has one and there is more than one document. Without EOS nothing
    marks the boundary.

    Args:
        documents: From `Source.documents`.
        tokenizer: Turns text into ids.
        packed: End the document with EOS even if it is the only one.
        allow_special: Take special tokens spelled in the text as what they are; otherwise such text is refused.
        tally: Counts what goes through.

    Raises:
        TokenizerError: The tokenizer refuses a document; the message names it.
    """
    tally = Tally() if tally is None else tally
    eos = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
    spellings = _spellings(tokenizer)
    for group in _grouped(documents):
        ids: list[int] = []
        for document, encoded in zip(group, _encode(group, tokenizer, allow_special), strict=True):
            if tally.starts_document(document) and tally.documents > 1:
                ids += eos
            ids += encoded
            if allow_special and spellings is not None:
                tally.special_bytes += sum(len(found.encode()) for found in spellings.findall(document.text))
        yield np.array(ids, np.int64)
    tally.separated = bool(eos) and (packed or tally.documents > 1)
    if tally.separated:
        yield np.array(eos, np.int64)


def prepare(
    source: Source,
    tokenizer: Tokenizer,
    out_dir: str | Path,
    config: DataConfig,
    seed: int,
    progress: Progress | None = None,
    *,
    min_split_tokens: int = MIN_TOKENS,
) -> TokenDataset:
    """Tokenize a source and write it as a prepared dataset, complete or not at all.

    The first part of the tokens trains and the last part validates. On one file, shuffling changes nothing.

    Args:
        source: The text.
        tokenizer: Turns text into ids; a copy goes into the folder.
        out_dir: The folder to write; an older prepared dataset there is replaced once the new one is complete.
        config: `allow_special`, `validation_split_ratio`, `shuffle_documents` and `windows` (for EOS) are used.
        seed: Decides the order of the documents.
        progress: Told how many bytes of text have been read.
        min_split_tokens: Refuse a text that leaves a split fewer tokens; 0 for a dataset that is only looked at.

    Raises:
        DataError: The source is unusable, has too little text to split, or the folder cannot be written.
        TokenizerError: The tokenizer refuses a document.
    """
    folder = Path(out_dir)
    refuse_strangers(folder, DATASET)
    shuffle_seed = seed if config.shuffle_documents else None
    documents = source.documents(shuffle_seed)
    with replacing(folder, DATASET) as new:
        tally = Tally()
        dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
        tokens = _write_tokens(new, documents, tokenizer, config, dtype, tally, progress)
        counts = _split_sizes(tokens, config.validation_split_ratio, min_split_tokens)
        splits = _split(new, counts, dtype, tokenizer, tally)
        tokenizer.save(new / TOKENIZER)
        manifest = Manifest(
            format=FORMAT,
            source=SourceRecord(
                description=source.description,
                documents=tally.documents,
                text_bytes=tally.text_bytes,
                text_field=source.text_field,
                max_bytes=source.max_bytes,
                sha256=tally.sha256,
            ),
            tokenizer=TokenizerRecord(
                kind=tokenizer.kind,
                vocab_size=tokenizer.vocab_size,
                fingerprint=tokenizer.fingerprint(),
                eos_id=tokenizer.eos_id,
            ),
            dtype="uint16" if dtype.itemsize == 2 else "uint32",
            separated=tally.separated,
            allow_special=config.allow_special,
            validation_split_ratio=config.validation_split_ratio,
            shuffle_seed=shuffle_seed,
            train=splits[0],
            validation=splits[1],
        )
        (new / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return TokenDataset.open(folder)


def num_train_tokens(tokens: int, validation_split_ratio: float) -> int:
    """Tokens of the training split: ⌊N (1 - ratio)⌋, computed on the ratio as it is written in decimal."""
    # In floating point 10 · (1 - 0.9) is 0.99…8, which would lose a token.
    return int(tokens * (1 - Fraction(repr(validation_split_ratio))))


def _grouped(documents: Iterable[Document]) -> Iterator[list[Document]]:
    group: list[Document] = []
    size = 0
    for document in documents:
        group.append(document)
        size += len(document.text)
        if size >= CHUNK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _spellings(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """What finds the special tokens spelled in a text, the longest first; None without special tokens."""
    longest_first = sorted(tokenizer.special_tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _encode(documents: list[Document], tokenizer: Tokenizer, allow_special: bool) -> list[list[int]]:
    try:
        return tokenizer.encode_batch([document.text for document in documents], allow_special=allow_special)
    except TokenizerError:
        # One by one, to say which.
        return [_encode_named(document, tokenizer, allow_special) for document in documents]


def _encode_named(document: Document, tokenizer: Tokenizer, allow_special: bool) -> list[int]:
    try:
        return tokenizer.encode(document.text, allow_special=allow_special)
    except TokenizerError as error:
        spelled = not allow_special and any(token in document.text for token in tokenizer.special_tokens)
        hint = _SPECIAL if spelled else _REFUSED
        raise TokenizerError(f"{document.name}: {error.message}", hint=hint) from None


def _write_tokens(
    folder: Path,
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    config: DataConfig,
    dtype: np.dtype[np.unsignedinteger],
    tally: Tally,
    progress: Progress | None,
) -> int:
    """Write the whole stream to train.bin; how many tokens it has."""
    tokens = 0
    with (folder / "train.bin").open("wb") as file:
        packed, allow = config.windows == "packed", config.allow_special
        for ids in tokenize(documents, tokenizer, packed=packed, allow_special=allow, tally=tally):
            file.write(ids.astype(dtype).tobytes())
            tokens += len(ids)
            if progress is not None:
                progress(tally.text_bytes)
    return tokens


def _split_sizes(tokens: int, ratio: float, fewest: int) -> list[int]:
    """Tokens to train on and to validate on."""
    counts = [num_train_tokens(tokens, ratio), tokens - num_train_tokens(tokens, ratio)]
    if min(counts) < fewest:
        raise DataError(
            f"too little text: of {tokens:,} tokens, data.validation_split_ratio = {ratio} leaves {counts[0]:,} "
            f"to train on and {counts[1]:,} to validate on, but each split needs at least {fewest}",
            hint="use more text, or another data.validation_split_ratio",
        )
    return counts


def _split(
    folder: Path, counts: list[int], dtype: np.dtype[np.unsignedinteger], tokenizer: Tokenizer, tally: Tally
) -> list[SplitRecord]:
    """Move the last part of train.bin to validation.bin, and describe both."""
    paths = [folder / "train.bin", folder / "validation.bin"]
    with paths[0].open("r+b") as file, paths[1].open("wb") as tail:
        file.seek(counts[0] * dtype.itemsize)
        shutil.copyfileobj(file, tail)
        file.truncate(counts[0] * dtype.itemsize)
    weights = _byte_counts([map_tokens(path, dtype) for path in paths], tokenizer)
    if not any(weights):
        weights = counts
    ordinary_bytes = tally.text_bytes - tally.special_bytes
    train_bytes = int(Fraction(ordinary_bytes * weights[0], sum(weights)))
    text_bytes = [train_bytes, ordinary_bytes - train_bytes]
    return [
        SplitRecord(tokens=count, text_bytes=size, sha256=file_hash(path))
        for count, size, path in zip(counts, text_bytes, paths, strict=True)
    ]


def _byte_counts(splits: list[NDArray[np.unsignedinteger]], tokenizer: Tokenizer) -> list[int]:
    """Bytes of text in the tokens of each split.

    Their sum is the size of the text, special tokens in it left out, where the tokenizer is lossless. Where it is
    not (unknown characters), the splits share that size in the proportion of these counts.
    """
    special = set(tokenizer.special_tokens.values())
    sizes = np.array([0 if i in special else len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)])
    step = 1 << 22
    return [
        sum(int(sizes[split[first : first + step]].sum()) for first in range(0, len(split), step))
        for split in splits
    ]
