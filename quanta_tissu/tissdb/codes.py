"""Forms in which vectors are stored: as they are, a byte for each number, or a bit.

What is stored is what is searched: a search over bytes or bits is exact over the vectors that these stand for, and
how well those stand for what was given is what recall measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.definitions import Index

STORAGES = ("float32", "int8", "bit")

_SCALE = 4
"""Bytes of the float32 that stands before the numbers of `int8`."""


def storage_of(index: Index) -> str:
    """How an index stores its vectors."""
    return str(index.options.get("storage", "float32"))


def encode(vectors: NDArray[np.float32], storage: str, *, unit: bool = False) -> NDArray[Any]:
    """Vectors in the form in which they are stored.

    Args:
        vectors: (n, dimension).
        storage: `float32`; `int8`: the scale, as little-endian float32, and rounded quotients of -127 ... 127;
            `bit`: 1 for numbers above zero, the first number in the lowest bit.
        unit: The vectors have length one, and those that the stored ones stand for are to have it, too.

    Returns:
        float32 (n, dimension), or bytes (n, width).
    """
    if storage == "float32":
        return vectors
    if storage == "bit":
        return np.packbits(vectors > 0, axis=1, bitorder="little")
    codes, scales = rounded(vectors)
    if unit:
        scales = (1 / np.linalg.norm(codes.astype(np.float64), axis=1)).astype(np.float32)
    return np.concatenate([scales.astype("<f4")[:, None].view(np.uint8), codes.view(np.uint8)], axis=1)


def decode(rows: NDArray[Any], storage: str, dimension: int) -> NDArray[np.float32]:
    """The vectors (n, dimension) that stored ones stand for; those of `bit` have length one."""
    if storage == "float32":
        return rows
    if storage == "bit":
        return signs(rows, dimension)
    codes, scales = split(rows)
    return codes * scales[:, None]


def from_bytes(rows: Sequence[bytes], storage: str, dimension: int) -> NDArray[Any]:
    """Stored vectors, as `encode` gave them, from their bytes."""
    if storage == "float32":
        return np.frombuffer(b"".join(rows), "<f4").reshape(len(rows), dimension).astype(np.float32, copy=False)
    width = dimension + _SCALE if storage == "int8" else -(-dimension // 8)
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), width)


def to_bytes(row: NDArray[Any]) -> bytes:
    """The bytes of a stored vector."""
    return (row if row.dtype == np.uint8 else row.astype("<f4", copy=False)).tobytes()


def rounded(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Numbers in 8 bits (n, dimension), and what to multiply those of each vector by (n)."""
    scales = np.abs(vectors).max(axis=1) / np.float32(127)
    quotients = vectors / np.where(scales > 0, scales, 1)[:, None]
    return np.clip(np.rint(quotients), -127, 127).astype(np.int8), scales


def split(rows: NDArray[np.uint8]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Numbers and scales of rows of `int8`."""
    scales = np.ascontiguousarray(rows[:, :_SCALE]).view("<f4")[:, 0].astype(np.float32)
    return rows[:, _SCALE:].view(np.int8), scales


def signs(bits: NDArray[np.uint8], dimension: int) -> NDArray[np.float32]:
    """Vectors of length one whose numbers are equal but for their signs."""
    ones = np.unpackbits(bits, axis=1, count=dimension, bitorder="little")
    vectors: NDArray[np.float32] = (2 * ones.astype(np.float32) - 1) / np.sqrt(np.float32(dimension))
    return vectors
