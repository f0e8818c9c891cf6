"""Copies for the inside of kernels: into the layout that tiles of products read, and back.

The right factor of a tile product (`simd.add_tile_product`) is read sixteen columns at a time, row after row. In a
*panel* these lie one after the other, without the gaps that a larger array has between its rows: panels of a
matrix (rows, columns) are an array (columns / 16, rows, 16), its last panel filled up with what was there before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.simd import LANES, broadcast, load, store, sum_of, transpose_tile

Array = NDArray[Any]


@register_jitable
def whole(n: int, size: int) -> int:
    """Round n up to a multiple of size."""
    return (n + size - 1) // size * size


@register_jitable
def new_panels(columns: int, rows: int, like: Array) -> Array:
    """Make panels for a matrix of this shape, zero, of the same type as another array."""
    return np.zeros((whole(columns, LANES) // LANES, rows, LANES), like.dtype)


@register_jitable
def copy_to_panels(x: Array, factor: float, panels: Array) -> None:
    """Copy factor · x (rows, columns) to panels."""
    for n in range(panels.shape[0]):
        copy_scaled(x[:, n * LANES : (n + 1) * LANES], factor, panels[n])


@register_jitable
def copy_to_transposed_panels(x: Array, panels: Array) -> None:
    """Copy xᵀ to panels, x (columns, rows)."""
    columns, rows = x.shape
    for n in range(panels.shape[0]):
        panel, j = panels[n], n * LANES
        end = rows // LANES * LANES if j + LANES <= columns else 0
        for e in range(0, end, LANES):
            transpose_tile(x, j, e, panel, e, 0)
        for e in range(end, rows):
            for lane in range(min(LANES, columns - j)):
                panel[e, lane] = x[j + lane, e]


@register_jitable
def copy_scaled(x: Array, factor: float, y: Array) -> None:
    """Write factor · x (rows, columns) to the beginning of y."""
    rows, columns = x.shape
    end = columns // LANES * LANES
    for i in range(rows):
        for e in range(0, end, LANES):
            store(y, i, e, load(x, i, e) * factor)
        for e in range(end, columns):
            y[i, e] = x[i, e] * factor


@register_jitable
def add_rows(x: Array, y: Array) -> None:
    """Add the beginning of x to y (rows, columns)."""
    rows, columns = y.shape
    end = columns // LANES * LANES
    for i in range(rows):
        for e in range(0, end, LANES):
            store(y, i, e, load(y, i, e) + load(x, i, e))
        for e in range(end, columns):
            y[i, e] += x[i, e]


@register_jitable
def dot_of_rows(x: Array, y: Array, i: int) -> Any:
    """Row i of x times row i of y."""
    end = x.shape[1] // LANES * LANES
    total = broadcast(x.dtype.type(0))
    for e in range(0, end, LANES):
        total = total + load(x, i, e) * load(y, i, e)
    rest = x.dtype.type(0)
    for e in range(end, x.shape[1]):
        rest += x[i, e] * y[i, e]
    return sum_of(total) + rest
