"""Matrix products for the inside of kernels: x Wᵀ for a share of the rows of W, in blocks that fit the caches.

From the outside in, after Goto and van de Geijn 2008, Anatomy of high-performance matrix multiplication:

1. The rows of W that are asked for, at most `TERMS` columns at a time, are *packed*: transposed into panels of
   sixteen rows (`panels.py`), which together stay in the second-level cache. Nothing else reads W.
2. A few rows of x, which stay in the first-level cache, go through all panels, which stream past. Meanwhile the
   next rows of x are asked for.
3. A tile of the product, these rows by one panel, is summed in registers (`simd.py`).

Each number of the product is the same sum in the same order whatever the other rows of x and W are.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.panels import copy_to_transposed_panels, whole
from quanta_tissu.tisslm.engine.simd import (
    LANES,
    TALL_TILE_ROWS,
    TILE_ROWS,
    add_tall_tile_product,
    add_tile_product,
    prefetch,
)

Array = NDArray[Any]

TERMS = 640
"""Most terms of a sum at a time: six rows of x and a part of a panel fill a first-level cache of 32 KiB."""

_BLOCK = 384 * 1024  # bytes of packed panels: three quarters of a second-level cache of 512 KiB
_LINE = 64  # bytes of a line of the caches
_PAGE = 4096  # bytes after which a first-level cache uses the same places again


@register_jitable
def even_part(length: int, most: int) -> int:
    """Cut a length into as few parts as possible, at most `most` long, of which all are about equal."""
    parts = (length + most - 1) // most
    return (length + parts - 1) // parts


@register_jitable
def panels_in_block(terms: int, itemsize: int) -> Any:
    """How many panels may be packed at a time."""
    return max(1, _BLOCK // (even_part(terms, TERMS) * LANES * itemsize))


@register_jitable
def rows_lie_apart(stride: int) -> bool:
    """Whether no two of a few rows, `stride` bytes apart, begin about as far from a multiple of 4 KiB.

    Those that do compete for the same places in the first-level cache: rows of 2 or 4 KiB make `add_product` a
    third or two thirds slower. Its `x` should have rows that are a little longer then.
    """
    for i in range(1, TALL_TILE_ROWS):
        distance = i * stride % _PAGE
        if min(distance, _PAGE - distance) < 4 * _LINE:
            return False
    return True


@register_jitable
def whole_tiles(rows: int) -> Any:
    """How many rows `add_product` computes where so many are wanted: it has tiles of six rows and of four."""
    return max(TILE_ROWS, whole(rows, 2))


@register_jitable
def add_product(
    x: Array, w: Array, lo: int, hi: int, y: Array, column: int, add: bool, panels: Array, edge: Array
) -> None:
    """y[:, column : column + hi - lo] (+)= x[:, :K] w[lo:hi]ᵀ.

    Args:
        x: (M, at least K), M from `whole_tiles`; see `rows_lie_apart`.
        w: (O, K).
        lo: First row of w.
        hi: Row of w before which to stop, at most `panels_in_block` panels further on.
        y: (M, at least column + hi - lo).
        column: Where in y the product begins.
        add: Whether to add to what is there.
        panels: Room for the panels (panels_in_block, TERMS, LANES).
        edge: Room for a tile (TALL_TILE_ROWS, LANES).
    """
    M, K, width = len(x), w.shape[1], hi - lo
    most = even_part(K, TERMS)
    block = panels[: whole(width, LANES) // LANES]
    tall_end = M - (0, 0, 2 * TILE_ROWS, 0, TILE_ROWS)[M % TALL_TILE_ROWS]
    for k in range(0, K, most):
        terms = min(most, K - k)
        copy_to_transposed_panels(w[lo:hi, k : k + terms], block[:, :terms])
        adding = add or k > 0
        i = 0
        while i < M:
            height = TALL_TILE_ROWS if i < tall_end else TILE_ROWS
            for n in range(i + height, min(i + 2 * height, M)):
                for t in range(k, k + terms, _LINE // x.itemsize):
                    prefetch(x, n, t)
            for p in range(len(block)):
                j = p * LANES
                inside = j + LANES <= width
                target, r, s = (y, i, column + j) if inside else (edge, 0, 0)
                if height == TALL_TILE_ROWS:
                    add_tall_tile_product(x, i, k, block[p], 0, 0, terms, target, r, s, adding and inside)
                else:
                    add_tile_product(x, i, k, block[p], 0, 0, terms, target, r, s, adding and inside)
                if not inside:
                    _copy_edge(edge, height, width - j, y, i, column + j, adding)
            i += height


@register_jitable
def _copy_edge(edge: Array, height: int, width: int, y: Array, row: int, column: int, add: bool) -> None:
    """Copy the first columns of a tile to y, or add them."""
    for i in range(height):
        for j in range(width):
            y[row + i, column + j] = y[row + i, column + j] + edge[i, j] if add else edge[i, j]
