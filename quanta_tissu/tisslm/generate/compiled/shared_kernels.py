"""What the compiled passes over a few tokens (`kernels.py`) and over prompts (`prompt_kernels.py`) have in common.

Letters as in `kernels.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.jit import summing_kernel
from quanta_tissu.tisslm.engine.vector_math import normal_cdf_and_density, sigmoid
from quanta_tissu.tisslm.generate.compiled.arguments import Rotation

Array = NDArray[Any]

# Columns of the table of offsets: where the parameters of a block begin in the flat buffer; ABSENT if it has none.
ATTENTION_NORM, ATTENTION_SHIFT, QKV, QKV_BIAS, OUT, OUT_BIAS = range(6)
FORWARD_NORM, FORWARD_SHIFT, UP, UP_BIAS, DOWN, DOWN_BIAS = range(6, 12)
BLOCK_OFFSETS = 12
ABSENT = -1

SWIGLU, GELU, GELU_TANH, RELU = range(4)
NO_ROTATION, HALVES, NEIGHBOURS = range(3)

_GELU_TANH_SLOPE, _GELU_TANH_CUBIC = float(np.sqrt(8 / np.pi)), 0.044715


@summing_kernel
def copy(x: Array, y: Array) -> None:
    """Copy a vector; as an assignment of a slice it would take half a second longer to compile, at every place."""
    for j in range(x.size):
        y[j] = x[j]


@summing_kernel
def embed(weights: Array, offset: int, ids: NDArray[np.int64], x: Array) -> None:
    """Copy the tokens' rows of the embedding."""
    D = x.shape[1]
    for n in range(len(ids)):
        first = offset + ids[n] * D
        copy(weights[first : first + D], x[n])


@summing_kernel
def add_positions(weights: Array, offset: int, waves: Array, positions: NDArray[np.int64], x: Array) -> None:
    """Add the vectors of the positions, learned ones or waves, if there are any."""
    D = x.shape[1]
    if offset == ABSENT and waves.size == 0:
        return
    for n in range(len(positions)):
        row = x[n]
        if offset == ABSENT:
            vector = waves[positions[n]]
        else:
            first = offset + positions[n] * D
            vector = weights[first : first + D]
        for j in range(D):
            row[j] += vector[j]


@summing_kernel
def norm(weights: Array, weight: int, shift: int, layer_norm: bool, eps: float, x: Array, y: Array) -> None:
    """RMS norm or layer norm of the rows of x (N, D); a copy where there is no norm."""
    D = x.shape[1]
    real = x.dtype.type
    if weight == ABSENT:
        for n in range(len(x)):
            copy(x[n], y[n])
        return
    scale = weights[weight : weight + D]
    for n in range(len(x)):
        row, result = x[n], y[n]
        centre = real(0)
        if layer_norm:
            for j in range(D):
                centre += row[j]
            centre /= real(D)
        squares = real(0)
        for j in range(D):
            squares += (row[j] - centre) * (row[j] - centre)
        r = real(1 / np.sqrt(np.float64(squares) / D + eps))
        for j in range(D):
            result[j] = (row[j] - centre) * r * scale[j]
        if shift != ABSENT:
            bias = weights[shift : shift + D]
            for j in range(D):
                result[j] += bias[j]


@summing_kernel
def add_bias(weights: Array, offset: int, lo: int, hi: int, y: Array) -> None:
    """Add the bias at `offset`, if there is one, to columns lo to hi."""
    if offset == ABSENT:
        return
    bias = weights[offset + lo : offset + hi]
    for n in range(len(y)):
        row = y[n, lo:hi]
        for j in range(row.size):
            row[j] += bias[j]


@summing_kernel
def activate(kind: int, lo: int, hi: int, up: Array, hidden: Array) -> None:
    """Apply the activation to columns lo to hi; for SwiGLU the values stand F columns further right."""
    F = up.shape[1] // 2
    real = up.dtype.type
    zero, one = real(0), real(1)
    slope, cubic = real(_GELU_TANH_SLOPE), real(_GELU_TANH_CUBIC)
    for n in range(len(up)):
        a, y = up[n, lo:hi], hidden[n, lo:hi]
        if kind == SWIGLU:
            value = up[n, F + lo : F + hi]
            for j in range(y.size):
                y[j] = a[j] * sigmoid(a[j]) * value[j]
        elif kind == GELU:
            for j in range(y.size):
                y[j] = a[j] * normal_cdf_and_density(a[j])[0]
        elif kind == GELU_TANH:
            for j in range(y.size):
                y[j] = a[j] * sigmoid(slope * a[j] * (one + cubic * a[j] * a[j]))
        else:
            for j in range(y.size):
                y[j] = zero if a[j] < zero else a[j]


@summing_kernel
def rotate(rotation: Rotation, position: int, x: Array, y: Array) -> None:
    """Rotate the heads that follow each other in x; or copy them."""
    if rotation.kind == NO_ROTATION:
        copy(x, y)
        return
    cos, sin = rotation.cos[position], rotation.sin[position]
    R = cos.size
    for first in range(0, x.size, 2 * R):
        a, b = x[first : first + 2 * R], y[first : first + 2 * R]
        if rotation.kind == HALVES:
            for i in range(R):
                b[i] = a[i] * cos[i] - a[R + i] * sin[i]
                b[R + i] = a[R + i] * cos[i] + a[i] * sin[i]
        else:
            for i in range(R):
                b[2 * i] = a[2 * i] * cos[i] - a[2 * i + 1] * sin[i]
                b[2 * i + 1] = a[2 * i + 1] * cos[i] + a[2 * i] * sin[i]


@summing_kernel
def store(rotation: Rotation, position: int, new: Array, key: Array, value: Array) -> None:
    """Put the key, rotated, and the value of one token into the cache: new (2K·E); key, value (K, E)."""
    size = key.size
    rotate(rotation, position, new[:size], key.reshape(size))
    copy(new[size:], value.reshape(size))
