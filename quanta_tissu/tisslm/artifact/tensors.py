"""Safetensors files: named arrays behind a JSON header, nothing that can be executed.

Layout (https://github.com/huggingface/safetensors, "Format"): eight bytes with the header's length N as a
little-endian integer; N bytes of JSON that map each name to `{"dtype", "shape", "data_offsets": [begin, end]}`,
offsets counted from the end of the header; then the arrays, row-major and little-endian, without gaps.

Written here rather than with the `safetensors` library because a full disk must arrive as an `OSError`, arrays
shall be streamed instead of serialised in memory first, and other projects' bfloat16 files have to be read, for
which NumPy has no type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import CheckpointError

Array = NDArray[Any]

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # bit pattern; see `_widen`
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items() if name != "BF16"}
_MAX_HEADER = 100_000_000  # bytes; the limit of the reference implementation
_ALIGNMENT = 8  # the header is padded with spaces so that the arrays start aligned


def save_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays to a safetensors file.

    Args:
        path: The file; an existing one is overwritten in place (what is atomic is the directory:
            `atomic_directory.py`).
        tensors: Name → array of any shape; float, integer or bool.
        metadata: Free text that is stored in the header under `__metadata__`.

    Raises:
        OSError: The file cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in tensors.items():
        dtype = tensor.dtype.newbyteorder("<")
        if dtype not in _NAMES:
            raise ValueError(f"safetensors has no type for {tensor.dtype} ({name})")
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": _NAMES[dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little"))
        file.write(encoded)
        for tensor in tensors.values():
            data = np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
            file.write(data.reshape(-1).view(np.uint8).data)


def load_tensors(path: Path) -> dict[str, Array]:
    """Read all arrays of a safetensors file.

    Returns:
        Name → array, in the order of the file. bfloat16 is widened to float32, which is exact.

    Raises:
        CheckpointError: The file is missing, truncated, malformed or of a type that NumPy cannot hold.
    """
    try:
        with path.open("rb") as file:
            return {name: tensor.read_from(file) for name, tensor in _find_tensors(file, path).items()}
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def find_tensors(path: Path) -> dict[str, StoredTensor]:
    """Where the arrays of a safetensors file are, in their order; none is read.

    Raises:
        CheckpointError: As for `load_tensors`.
    """
    try:
        with path.open("rb") as file:
            return _find_tensors(file, path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


@dataclass(frozen=True)
class StoredTensor:
    """An array in a file, read when somebody asks for it, and as often.

    Attributes:
        path: The file.
        name: Its name there.
        kind: Its element type there.
        shape: Its shape.
        offset: Its first byte in the file.
    """

    path: Path
    name: str
    kind: str
    shape: tuple[int, ...]
    offset: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of what is read."""
        return np.dtype(np.float32) if self.kind == "BF16" else _DTYPES[self.kind]

    def read(self) -> Array:
        """The whole array.

        Raises:
            CheckpointError: The file cannot be read, or is shorter than it was.
        """
        return self[0 : math.prod(self.shape)].reshape(self.shape)

    def __getitem__(self, span: slice) -> Array:
        """Some of its elements, in the order they are stored in: (stop - start,)."""
        try:
            with self.path.open("rb") as file:
                return self._read(file, span.start, span.stop - span.start)
        except OSError as error:
            raise CheckpointError(f"cannot read {self.path}: {error.strerror}") from error

    def read_from(self, file: BufferedReader) -> Array:
        """The whole array from the file, which is open already."""
        return self._read(file, 0, math.prod(self.shape)).reshape(self.shape)

    def _read(self, file: BufferedReader, first: int, count: int) -> Array:
        stored = _DTYPES[self.kind]
        data = bytearray(count * stored.itemsize)
        file.seek(self.offset + first * stored.itemsize)
        if file.readinto(data) != len(data):
            raise CheckpointError(f"{self.path} is truncated: it ends inside {self.name}")
        array = np.frombuffer(data, dtype=stored)
        return _widen(array) if self.kind == "BF16" else array


def load_metadata(path: Path) -> dict[str, str]:
    """Read the free text that `save_tensors` stored in the header.

    Raises:
        CheckpointError: The file is missing, truncated or malformed.
    """
    try:
        with path.open("rb") as file:
            return _read_header(file, path)[1]
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def _read_header(file: BufferedReader, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The entries and the metadata; the file is left at the first array."""
    size = path.stat().st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or 8 + length > size:
        raise CheckpointError(
            f"{path} is truncated: {size} bytes, its header alone needs {8 + length if size >= 8 else 8}",
            hint="the file was not copied or downloaded completely; fetch it again",
        )
    if length > _MAX_HEADER:
        raise CheckpointError(f"{path} is not a safetensors file: its header would have {length} bytes")
    try:
        header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", {})
        stored = sum(_offsets(entry)[1] - _offsets(entry)[0] for entry in header.values())
        end = max((_offsets(entry)[1] for entry in header.values()), default=0)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: its header is malformed ({error})") from error
    if stored != end:
        raise CheckpointError(f"{path} is not a valid safetensors file: its arrays overlap or leave gaps")
    if 8 + length + end != size:
        what = "truncated" if 8 + length + end > size else "malformed"
        raise CheckpointError(
            f"{path} is {what}: {size} bytes, its header announces {8 + length + end}",
            hint="the file was not copied or downloaded completely; fetch it again",
        )
    return header, metadata


def _offsets(entry: Any) -> tuple[int, int]:
    begin, end = entry["data_offsets"]
    if not (isinstance(begin, int) and isinstance(end, int) and 0 <= begin <= end):
        raise ValueError(f"data_offsets {entry['data_offsets']}")
    return begin, end


def _find_tensors(file: BufferedReader, path: Path) -> dict[str, StoredTensor]:
    header = _read_header(file, path)[0]
    start = file.tell()
    entries = sorted(header.items(), key=lambda item: _offsets(item[1]))
    return {name: _find_tensor(path, start, name, entry) for name, entry in entries}


def _find_tensor(path: Path, start: int, name: str, entry: dict[str, Any]) -> StoredTensor:
    """The array that an entry describes; `start` is where the arrays begin."""
    begin, end = _offsets(entry)
    kind, shape = entry.get("dtype"), entry.get("shape")
    if kind not in _DTYPES:
        raise CheckpointError(
            f"{path}: {name} has type {kind}, which is not supported",
            hint=f"convert it to one of: {', '.join(_DTYPES)}",
        )
    if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise CheckpointError(f"{path}: {name} has a malformed shape: {shape}")
    if math.prod(shape) * _DTYPES[kind].itemsize != end - begin:
        raise CheckpointError(f"{path}: {name} has {end - begin} bytes, which do not fit shape {shape} of {kind}")
    return StoredTensor(path, name, kind, tuple(shape), start + begin)


def _widen(bits: Array) -> Array:
    """bfloat16 is the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
