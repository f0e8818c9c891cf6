"""Is a write-ahead log still what was written? SQLite looks at its checksums after a crash only.

A log is a header of 32 bytes and frames of 24 bytes and a page each. Every frame has the header's salts, and a
checksum of all that the log holds up to there: for words a, b of 32 bits, modulo 2^32,

    s <- s + a + t,  t <- t + b + s

which is linear, so that what a frame adds is a product of its words with fixed weights. Format:
https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEADER, _FRAME_HEADER = 32, 24

_LITTLE, _BIG = 0x377F0682, 0x377F0683
"""How a log begins, by the order of the bytes of the words that are summed."""

_AT_ONCE = 1024
"""Frames."""


def log_header(path: Path) -> bytes:
    """What a log begins with: another one begins otherwise; nothing if there is none."""
    try:
        with path.open("rb") as file:
            return file.read(_HEADER)
    except FileNotFoundError:
        return b""


def log_problem(path: Path, frames: int) -> str | None:
    """What is wrong with the first frames of a log, which nobody overwrites meanwhile; None if nothing is.

    Args:
        path: The file.
        frames: How many of them are in use.
    """
    if not frames:
        return None
    with path.open("rb") as file:
        header = file.read(_HEADER)
        if len(header) < _HEADER:
            return f"it has {len(header)} bytes, and {frames:,} frames are in use"
        magic, _, page, _, *rest = np.frombuffer(header, ">u4").tolist()
        salts, state = rest[:2], np.array(rest[2:], np.uint32)
        if magic not in (_LITTLE, _BIG) or page not in (1 << bits for bits in range(9, 17)):
            return "its header is damaged"
        order = "<u4" if magic == _LITTLE else ">u4"
        if not np.array_equal(_sum_of(np.frombuffer(header[:24], order)[None])[0], state):
            return "its header is damaged"
        step, done = _power((8 + page) // 8), 0
        while done < frames:
            wanted = min(_AT_ONCE, frames - done)
            data = file.read(wanted * (_FRAME_HEADER + page))
            if len(data) < wanted * (_FRAME_HEADER + page):
                return f"it ends in frame {done + len(data) // (_FRAME_HEADER + page) + 1:,} of {frames:,}"
            rows = np.frombuffer(data, np.uint8).reshape(wanted, -1)
            words = np.ascontiguousarray(np.concatenate([rows[:, :8], rows[:, _FRAME_HEADER:]], axis=1))
            added, said = _sum_of(words.view(order)), np.ascontiguousarray(rows[:, 8:_FRAME_HEADER]).view(">u4")
            for number in range(wanted):
                state = step @ state + added[number]
                if said[number].tolist() != [*salts, *state.tolist()]:
                    return f"frame {done + number + 1:,} of {frames:,} is not what was written"
            done += wanted
    return None


_STEP = np.array([[1, 1], [1, 2]], np.uint32)
"""What a pair of zeros does to (s, t)."""


def _sum_of(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """What rows of words (n, 2k) add to a checksum (n, 2)."""
    return words.astype(np.uint32) @ _weights(words.shape[1] // 2)


@functools.cache
def _weights(pairs: int) -> NDArray[np.uint32]:
    """What each word of so many pairs is multiplied with (2k, 2)."""
    weights = np.empty((2 * pairs, 2), np.uint32)
    # After the last pair: (s, t) = (a, a + b), and everything before is multiplied once more.
    a, b = np.array([1, 1], np.uint32), np.array([0, 1], np.uint32)
    for pair in range(pairs - 1, -1, -1):
        weights[2 * pair], weights[2 * pair + 1] = a, b
        a, b = _STEP @ a, _STEP @ b
    return weights


@functools.cache
def _power(exponent: int) -> NDArray[np.uint32]:
    found = np.eye(2, dtype=np.uint32)
    for _ in range(exponent):
        found = _STEP @ found
    return found
