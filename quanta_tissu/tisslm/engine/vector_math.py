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
_TAIL_SCALE = np.float32(0.3)
_TAIL = tuple(
    np.float32(c)
    for c in (
        0.03833427181592558,
        -0.1689519784665382,
        0.22821734262268104,
        -0.0759996281144529,
        0.14218507684112633,
        0.09483297169890796,
        0.12188205580301766,
        0.1194930635520508,
        6.852922697289784e-06,
    )
)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
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
    """Φ(-|x|) = exp(-x²/2) p(t) with a polynomial in t = 1 / (1 + 0.3 |x|); Φ(|x|) is the rest."""
    e = exp(-_HALF * x * x)
    t = _ONE / (_ONE + _TAIL_SCALE * abs(x))
    p = ((_TAIL[0] * t + _TAIL[1]) * t + _TAIL[2]) * t + _TAIL[3]
    p = ((((p * t + _TAIL[4]) * t + _TAIL[5]) * t + _TAIL[6]) * t + _TAIL[7]) * t + _TAIL[8]
    tail = e * p
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
