"""Functions for the inside of kernels: exponentials, distributions and maxima in a form that vectorises.

A loop that calls the C library's `exp` runs one element at a time. In float32 these functions are polynomials and
bit operations instead, which LLVM turns into vector instructions; their errors are a few units in the last place.
In float64, where gradients are proved and nobody is in a hurry, they are the C library's.

Each is called inside a kernel as an ordinary function of a scalar; the element type chooses the version. The
coefficients are minimax fits in the relative error (Lawson's iterated least squares on 1,200 Chebyshev nodes,
evaluated in 40 digits).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

# Not reordered: the rounding trick in exp relies on the order of its operations.
_STRICT = {"fastmath": {"contract"}}

_LOG2_E = np.float32(1 / math.log(2))
_LN_2_HIGH = np.float32(0.693359375)  # few bits, so that its product with an integer is exact
_LN_2_LOW = np.float32(math.log(2) - 0.693359375)
_LOWEST = np.float32(-88.0)  # exp is less than the smallest normal number below -87.3
_MAGIC = np.float32(1.5 * 2**23 + 127)  # adding it leaves round(y) + 127 in the lowest bits
_EXPONENT_SHIFT = np.int32(23)
_EXP = tuple(
    np.float32(c)
    for c in (
        1.3814401130165187e-3,
        8.368819882874357e-3,
        4.1668397843535314e-2,
        0.1666651978199905,
        0.49999993391,
    )
)
_EXP2 = tuple(
    np.float32(c)
    for c in (
        1.0000000733627823,
        0.6931469619096917,
        0.24022111262824364,
        5.550718129291298e-2,
        9.67599872077821e-3,
        1.32760152884749e-3,
    )
)
_MINUS_HALF_LOG2_E = np.float32(-0.5 / math.log(2))
_ABOUT_THAT = np.float32(-0.7213474)  # not the same number, lest LLVM share a rounded product
_FARTHEST = np.float32(13.27)  # exp(-x²/2) is less than the smallest normal number beyond 13.2
_TAIL_OVER = tuple(
    np.float32(c)
    for c in (
        0.49999993533085313,
        0.34006496869106706,
        0.10771065978018672,
        1.4385529417138217e-2,
        2.3176815372547479e-07,
    )
)
_TAIL_UNDER = tuple(
    np.float32(c) for c in (1.0, 1.4780074956000693, 0.8947615517677553, 0.2694355824663801, 3.608691516299865e-2)
)
_ZERO, _ONE = np.float32(0), np.float32(1)
_DENSITY_AT_ZERO = 1 / math.sqrt(2 * math.pi)
_DENSITY_AT_ZERO_32 = np.float32(_DENSITY_AT_ZERO)
_ROOT_HALF = math.sqrt(0.5)


def exp(x: Any) -> Any:
    """e^x for x up to 88; zero below the smallest normal number; not-a-number comes through."""
    raise NotImplementedError("call it inside a kernel")


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x), without overflow and with full relative accuracy on both sides."""
    raise NotImplementedError("call it inside a kernel")


def normal_cdf_and_density(x: Any) -> Any:
    """Φ(x) and φ(x) of the standard normal distribution, relatively accurate in the tails."""
    raise NotImplementedError("call it inside a kernel")


def ordered_bits(x: Any) -> Any:
    """An integer of x's width that compares as x does; a not-a-number is beyond infinity.

    LLVM vectorises the maximum of integers, but that of floating-point numbers only if told that none is NaN.
    """
    raise NotImplementedError("call it inside a kernel")


def from_ordered_bits(key: Any) -> Any:
    """The floating-point number whose `ordered_bits` are `key`."""
    raise NotImplementedError("call it inside a kernel")


def _exp32(x: Any) -> Any:
    """Split x = n ln 2 + r, |r| <= ln 2 / 2; then e^x = 2^n (1 + r + r² p(r)), with 2^n made of exponent bits."""
    x = _LOWEST if x < _LOWEST else x  # in this order a NaN stays
    shifted = np.float32(x * _LOG2_E + _MAGIC)
    n = shifted - _MAGIC
    r = (x - n * _LN_2_HIGH) - n * _LN_2_LOW
    p = (((_EXP[0] * r + _EXP[1]) * r + _EXP[2]) * r + _EXP[3]) * r + _EXP[4]
    power_of_two = np.int32(shifted.view(np.int32) << _EXPONENT_SHIFT).view(np.float32)
    return power_of_two * (_ONE + (r + r * r * p))


def _exp64(x: Any) -> Any:
    return math.exp(x)


@overload(exp, jit_options=_STRICT)
def _exp(x: Any) -> Callable[..., Any]:
    return _exp32 if x == types.float32 else _exp64


def _sigmoid32(x: Any) -> Any:
    e = exp(-abs(x))
    return (_ONE if x >= _ZERO else e) / (_ONE + e)


def _sigmoid64(x: Any) -> Any:
    e = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


@overload(sigmoid, jit_options=_STRICT)
def _sigmoid(x: Any) -> Callable[..., Any]:
    return _sigmoid32 if x == types.float32 else _sigmoid64


def _normal32(x: Any) -> Any:
    """Φ(-|x|) = exp(-x²/2) p(|x|) / q(|x|) with two polynomials; Φ(|x|) is the rest.

    Written for short chains of operations, because a processor waits for these more than it computes: the
    exponential (as 2^n 2^r, in steps of pairs) and the quotient do not need each other, and neither do p and q.
    That the constant in front of x² is rounded shows far out; p / q makes up for it.
    """
    a = abs(x)
    a = _FARTHEST if a > _FARTHEST else a  # in this order a NaN stays
    square = a * a
    shifted = np.float32(square * _ABOUT_THAT + _MAGIC)
    r = square * _MINUS_HALF_LOG2_E - (shifted - _MAGIC)
    higher = (_EXP2[3] * r + _EXP2[2]) + r * r * (_EXP2[5] * r + _EXP2[4])
    power_of_two = np.int32(shifted.view(np.int32) << _EXPONENT_SHIFT).view(np.float32)
    e = power_of_two * ((_EXP2[1] * r + _EXP2[0]) + r * r * higher)
    p = (((_TAIL_OVER[4] * a + _TAIL_OVER[3]) * a + _TAIL_OVER[2]) * a + _TAIL_OVER[1]) * a + _TAIL_OVER[0]
    q = (((_TAIL_UNDER[4] * a + _TAIL_UNDER[3]) * a + _TAIL_UNDER[2]) * a + _TAIL_UNDER[1]) * a + _TAIL_UNDER[0]
    tail = e * (p / q)
    return (_ONE - tail if x >= _ZERO else tail), _DENSITY_AT_ZERO_32 * e


def _normal64(x: Any) -> Any:
    return 0.5 * math.erfc(-x * _ROOT_HALF), _DENSITY_AT_ZERO * math.exp(-0.5 * x * x)


@overload(normal_cdf_and_density, jit_options=_STRICT)
def _normal(x: Any) -> Callable[..., Any]:
    return _normal32 if x == types.float32 else _normal64


def _ordered_bits32(x: Any) -> Any:
    """As an integer, a negative number's bits grow with its size: flip all but the sign."""
    bits = np.float32(x).view(np.int32)
    return np.int32(bits ^ ((bits >> 31) & 0x7FFFFFFF))


def _ordered_bits64(x: Any) -> Any:
    bits = np.float64(x).view(np.int64)
    return np.int64(bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF))


@overload(ordered_bits, jit_options=_STRICT)
def _ordered_bits(x: Any) -> Callable[..., Any]:
    return _ordered_bits32 if x == types.float32 else _ordered_bits64


def _from_ordered_bits32(key: Any) -> Any:
    return np.int32(key ^ ((key >> 31) & 0x7FFFFFFF)).view(np.float32)


def _from_ordered_bits64(key: Any) -> Any:
    return np.int64(key ^ ((key >> 63) & 0x7FFFFFFFFFFFFFFF)).view(np.float64)


@overload(from_ordered_bits, jit_options=_STRICT)
def _from_bits(key: Any) -> Callable[..., Any]:
    return _from_ordered_bits32 if key == types.int32 else _from_ordered_bits64
