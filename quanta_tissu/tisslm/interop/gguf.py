"""Read GGUF files, the model format of llama.cpp (ggml's docs/gguf.md), and the byte-level BPE tokenizers in them.

A GGUF file is, in little-endian order:

    header      "GGUF", version (u32), number of tensors (u64), number of key-values (u64)
    key-values  key (string), type (u32), value; a string is its length in bytes (u64) and its UTF-8
    tensors     name (string), number of dimensions (u32), each dimension (u64, fastest first), type (u32),
                offset (u64)
    padding     to a multiple of `general.alignment` (32 if it is not there)
    data        of each tensor at its offset, counted from here

Covered: versions 2 and 3 (the same layout), all types of values, tensors of plain numbers. Not covered: the values
of quantised tensors, which are refused; big-endian files; writing.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from quanta_tissu.errors import CheckpointError, TokenizerError
from quanta_tissu.tisslm.tokenizers import BPETokenizer

MAGIC = b"GGUF"
_BOOL, _STRING, _ARRAY = 7, 8, 9
_NUMBERS: dict[int, np.dtype[Any]] = {
    0: np.dtype("<u1"),
    1: np.dtype("<i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
"""Types of numbers among the key-values."""

_TENSOR_TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f2"),
    24: np.dtype("<i1"),
    25: np.dtype("<i2"),
    26: np.dtype("<i4"),
    27: np.dtype("<i8"),
    28: np.dtype("<f8"),
}
"""Types of tensors that hold plain numbers."""

_BFLOAT16 = 30
_MAX_DIMENSIONS = 4
_NORMAL, _CONTROL, _UNUSED = 1, 3, 5  # tokenizer.ggml.token_type; control tokens are the special ones

T = TypeVar("T")


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies in the file.

    Attributes:
        name: Its name.
        shape: Its dimensions in NumPy's order, slowest first.
        type: ggml's number of its type.
        offset: Position of its first byte, counted from the start of the file.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


class GGUFFile:
    """A GGUF file, memory-mapped: key-values are read at once, tensors when they are asked for.

    Attributes:
        path: The file.
        version: Version of the format, 2 or 3.
        metadata: The key-values in the order of the file: int, float, bool, str, a read-only array of numbers, or
            a list of anything else.
        tensors: The tensors by name, in the order of the file.

    Raises:
        CheckpointError: The file is missing, truncated, of another version, or no GGUF file at all.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self._data: mmap.mmap | bytes = (
                    mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                    if os.fstat(file.fileno()).st_size
                    else b""
                )
        except OSError as error:
            raise CheckpointError(
                f"cannot read the GGUF file {self.path}: {error.strerror}", hint="check the path"
            ) from None
        self._position = 0
        self.version, tensor_count, pair_count = self._header()
        self.metadata: dict[str, Any] = {}
        for _ in range(pair_count):
            key = self._string("a key")
            if key in self.metadata:
                raise self._malformed(f"has the key {key!r} twice")
            self.metadata[key] = self._value(self._number("<I", f"the type of {key!r}"), key)
        infos = [self._tensor_info() for _ in range(tensor_count)]
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise self._malformed(f"has a general.alignment of {alignment!r}")
        start = -(-self._position // alignment) * alignment
        self.tensors: dict[str, TensorInfo] = {}
        for name, shape, kind, offset in infos:
            if name in self.tensors:
                raise self._malformed(f"has the tensor {name!r} twice")
            self.tensors[name] = TensorInfo(name, shape, kind, start + offset)

    def get(self, key: str, expected: type[T]) -> T:
        """One key-value of a known type.

        Raises:
            CheckpointError: The key is missing, or its value has another type.
        """
        if key not in self.metadata:
            raise CheckpointError(
                f"{self.path} has no key {key!r}", hint="it may be a GGUF file of another kind than the one needed"
            )
        value = self.metadata[key]
        if type(value) is not expected:
            raise self._malformed(f"has {key!r} of type {type(value).__name__} instead of {expected.__name__}")
        return value

    def tensor(self, name: str) -> np.ndarray:
        """The values of a tensor of plain numbers: read-only, on the file itself; bfloat16 becomes float32.

        Raises:
            CheckpointError: There is no such tensor, it is quantised, or the file ends inside it.
        """
        if name not in self.tensors:
            raise CheckpointError(
                f"{self.path} has no tensor {name!r}; it has {len(self.tensors)} tensors",
                hint="GGUF files of vocabularies have none"
                if not self.tensors
                else f"the first: {next(iter(self.tensors))}",
            )
        info = self.tensors[name]
        dtype = np.dtype("<u2") if info.type == _BFLOAT16 else _TENSOR_TYPES.get(info.type)
        if dtype is None:
            raise CheckpointError(
                f"the tensor {name!r} of {self.path} has ggml type {info.type}, which is quantised or unknown",
                hint="convert the model to F32, F16 or BF16 with llama.cpp first",
            )
        count = math.prod(info.shape)
        if info.offset + count * dtype.itemsize > len(self._data):
            raise self._truncated(f"the tensor {name!r}")
        try:
            values: np.ndarray = np.frombuffer(self._data, dtype, count, info.offset).reshape(info.shape)
        except ValueError:  # an empty tensor whose other dimensions exceed any machine
            raise self._malformed(f"gives {name!r} the shape {info.shape}") from None
        if info.type == _BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values

    # -- parts of the file ---------------------------------------------------------------------------------------

    def _header(self) -> tuple[int, int, int]:
        if self._data[:4] != MAGIC:
            raise CheckpointError(
                f"{self.path} is no GGUF file: it starts with {bytes(self._data[:4])!r} instead of {MAGIC!r}",
                hint="name a .gguf file; a download that failed often leaves a web page behind",
            )
        self._position = 4
        version = self._number("<I", "the version")
        if version not in (2, 3):
            big_endian = version in (2 << 24, 3 << 24)
            raise CheckpointError(
                f"{self.path} is {'big-endian' if big_endian else f'GGUF version {version}'}, "
                "which is not supported (little-endian versions 2 and 3 are)",
                hint="convert the model again with a current llama.cpp",
            )
        return version, self._number("<Q", "the number of tensors"), self._number("<Q", "the number of keys")

    def _tensor_info(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string("the name of a tensor")
        dimensions = self._number("<I", f"the shape of {name!r}")
        if dimensions > _MAX_DIMENSIONS:
            raise self._malformed(f"has a tensor {name!r} of {dimensions} dimensions")
        shape = [self._number("<Q", f"the shape of {name!r}") for _ in range(dimensions)]
        kind = self._number("<I", f"the type of {name!r}")
        return name, tuple(reversed(shape)), kind, self._number("<Q", f"the offset of {name!r}")

    def _value(self, kind: int, key: str, depth: int = 0) -> Any:
        if kind in _NUMBERS:
            return np.frombuffer(self._take(_NUMBERS[kind].itemsize, key), _NUMBERS[kind])[0].item()
        if kind == _BOOL:
            return self._bool(key)
        if kind == _STRING:
            return self._string(f"the value of {key!r}")
        if kind == _ARRAY and depth < _MAX_DIMENSIONS:
            return self._array(key, depth)
        raise self._malformed(f"has {key!r} of the unknown type {kind}")

    def _array(self, key: str, depth: int) -> Any:
        kind, count = self._number("<I", f"the type of {key!r}"), self._number("<Q", f"the length of {key!r}")
        if kind in _NUMBERS:
            dtype = _NUMBERS[kind]
            start = self._position
            self._advance(count * dtype.itemsize, f"the {count} numbers of {key!r}")
            return np.frombuffer(self._data, dtype, count, start)
        if count > len(self._data) - self._position:  # every element takes a byte at least
            raise self._truncated(f"the {count} elements of {key!r}")
        return [self._value(kind, key, depth + 1) for _ in range(count)]

    def _bool(self, key: str) -> bool:
        byte = self._number("<B", f"the value of {key!r}")
        if byte > 1:
            raise self._malformed(f"has {byte} as the truth value of {key!r}")
        return byte == 1

    def _string(self, what: str) -> str:
        raw = self._take(self._number("<Q", f"the length of {what}"), what)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self._malformed(f"has bytes that are not UTF-8 in {what}: {error.reason}") from None

    def _number(self, layout: str, what: str) -> int:
        number: int = struct.unpack(layout, self._take(struct.calcsize(layout), what))[0]
        return number

    def _take(self, size: int, what: str) -> bytes:
        start = self._position
        self._advance(size, what)
        return self._data[start : start + size]

    def _advance(self, size: int, what: str) -> None:
        if size > len(self._data) - self._position:
            raise self._truncated(what)
        self._position += size

    def _truncated(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"the GGUF file {self.path} ends after {len(self._data):,} bytes, inside {what}",
            hint="it is truncated or damaged; copy or download it again",
        )

    def _malformed(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"the GGUF file {self.path} {what}", hint="it is damaged; copy or download it again"
        )


def read_tokenizer(source: str | os.PathLike[str] | GGUFFile) -> BPETokenizer:
    """Build the tokenizer that a GGUF file carries, if it is byte-level BPE with GPT-2's pre-tokenizer.

    Args:
        source: The file, or its path.

    Raises:
        CheckpointError: The file cannot be read, or lacks a part of the tokenizer.
        TokenizerError: The tokenizer is of another kind, or its parts contradict each other.
    """
    file = source if isinstance(source, GGUFFile) else GGUFFile(source)
    model, pre = file.get("tokenizer.ggml.model", str), file.metadata.get("tokenizer.ggml.pre")
    if (model, pre) != ("gpt2", "gpt-2"):
        raise TokenizerError(
            f"the tokenizer of {file.path} has model {model!r} and pre-tokenizer {pre!r}, which is not supported",
            hint="model 'gpt2' with pre-tokenizer 'gpt-2' is; another pre-tokenizer would cut text into other "
            "tokens than the model learned",
        )
    tokens = _strings(file, "tokenizer.ggml.tokens")
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise TokenizerError(f"{file.path} has {len(tokens) - len(vocabulary)} of its tokens twice")
    merges = []
    for i, merge in enumerate(_strings(file, "tokenizer.ggml.merges")):
        left, space, right = merge.partition(" ")
        if not (left and space and right) or " " in right:
            raise TokenizerError(
                f"merge {i} of {file.path} is {merge!r}; it should be two tokens with a space between"
            )
        merges.append((left, right))
    tokenizer = BPETokenizer.from_vocabulary(vocabulary, merges, _special_tokens(file, tokens))
    for role in ("bos", "eos", "padding"):
        expected = file.metadata.get(f"tokenizer.ggml.{role}_token_id")
        if expected not in (None, tokenizer.eos_id):
            raise TokenizerError(
                f"{file.path} uses token {expected} as {role}, but {tokenizer.eos_id} ends a text here",
                hint="only vocabularies with <|endoftext|> in all these roles are supported",
            )
    return tokenizer


def _strings(file: GGUFFile, key: str) -> list[str]:
    values = file.get(key, list)
    if not all(isinstance(value, str) for value in values):
        raise CheckpointError(f"{file.path} has values that are not strings in {key!r}")
    return values


def _special_tokens(file: GGUFFile, tokens: list[str]) -> list[str]:
    types = file.get("tokenizer.ggml.token_type", np.ndarray)
    if len(types) != len(tokens):
        raise CheckpointError(f"{file.path} has {len(tokens)} tokens but {len(types)} token types")
    others = np.flatnonzero(~np.isin(types, (_NORMAL, _CONTROL, _UNUSED)))
    if len(others):
        first = int(others[0])
        raise TokenizerError(
            f"{file.path} has {len(others)} tokens that are neither normal, control nor unused, "
            f"{tokens[first]!r} of type {types[first]} first",
            hint="tokens that are found in text before it is cut into words are not supported",
        )
    return [tokens[token_id] for token_id in np.flatnonzero(types == _CONTROL)]
