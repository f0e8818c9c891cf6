"""Numba kernels of `float16.py`, otherwise identical to the readable versions there: as fast as a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import kernel

Flat = NDArray[Any]

_SIZE_BITS, _SIGN_BIT, _EXPONENT_BITS = np.int32(0x7FFFFFFF), np.int32(-0x80000000), np.int32(0x7F800000)
_DROPPED = np.float32(2**13)  # float32 has 13 bits more behind the point
_SMALLEST_MAGIC = np.float32(0.5)  # from here numbers are 2^-24 apart, as those of float16 below 2^-14
_TOO_LARGE = np.float32(65520)  # half way between the largest number and what would be the next
_INFINITY = np.float32(np.inf)
_CHUNK = 1024  # a loop that may end early is not vectorised, so one that may not goes inside


@kernel
def _nearest(x: Any) -> Any:
    """Add a number so large that the processor has to round the sum where float16 ends, and subtract it again.

    For |x| in [2^e, 2^(e+1)) that is 2^(e+13): the sum has the exponent e + 13 and 23 bits behind the point, so it
    ends at 2^(e-10), as float16 does. Ties go to the even sum, which has the even float16.
    """
    bits = np.float32(x).view(np.int32)
    size = np.int32(bits & _SIZE_BITS).view(np.float32)
    magic = np.int32(bits & _EXPONENT_BITS).view(np.float32) * _DROPPED
    magic = _SMALLEST_MAGIC if magic < _SMALLEST_MAGIC else magic
    rounded = (size + magic) - magic
    rounded = _INFINITY if size >= _TOO_LARGE else rounded  # in this order a NaN stays
    return np.int32(np.float32(rounded).view(np.int32) | (bits & _SIGN_BIT)).view(np.float32)


@kernel
def holds_float16(x: Flat) -> bool:
    """Whether x (N) would not change by rounding; it takes a thousand numbers to find out that it would."""
    for start in range(0, x.size, _CHUNK):
        part = x[start : start + _CHUNK]
        changed = np.int32(0)
        for i in range(part.size):
            changed |= np.float32(part[i]).view(np.int32) ^ np.float32(_nearest(part[i])).view(np.int32)
        if changed != 0:
            return False
    return True


@kernel
def round_into(x: Flat, y: Flat) -> None:
    """Write the float16 numbers nearest to x (N) to y (N); the two must not overlap."""
    for i in range(x.size):
        y[i] = _nearest(x[i])


@kernel
def round_in_place(x: Flat) -> None:
    """Replace x (N) by the float16 numbers nearest to it."""
    for i in range(x.size):
        x[i] = _nearest(x[i])
