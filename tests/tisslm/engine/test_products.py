"""The blocked product inside kernels: any shape, at any place, is what NumPy computes; and each row is its own."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslm.engine import products
from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.engine.simd import LANES, TALL_TILE_ROWS

add_product, panels_in_block = products.add_product, products.panels_in_block


@kernel
def multiply(x, w, lo, hi, y, column, add, panels, edge):
    add_product(x, w, lo, hi, y, column, add, panels, edge)


def run(x, w, lo, hi, y, column, add) -> None:
    panels = np.full((panels_in_block(w.shape[1], x.itemsize), products.TERMS, LANES), np.nan, x.dtype)
    multiply(x, w, lo, hi, y, column, add, panels, np.full((TALL_TILE_ROWS, LANES), np.nan, x.dtype))


def some(*shape, dtype, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@settings(max_examples=200)
@given(st.data())
def test_any_shape(data):
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    M = products.whole_tiles(data.draw(st.integers(1, 50)))
    K = data.draw(st.one_of(st.integers(1, 100), st.integers(products.TERMS - 2, 2 * products.TERMS + 40)))
    most = min(100, panels_in_block(K, np.dtype(dtype).itemsize) * LANES)
    lo, width = data.draw(st.integers(0, 20)), data.draw(st.integers(0, most))
    column, gap = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 9))
    add = data.draw(st.booleans())
    x, w = some(M, K + gap, dtype=dtype), some(lo + width + 2, K, dtype=dtype, seed=1)
    y = some(M, column + width + gap, dtype=dtype, seed=2)
    expected = y.astype(np.longdouble)
    before = y[:, column : column + width].copy()
    part = expected[:, column : column + width]
    part[...] = add * part + x[:, :K].astype(np.longdouble) @ w[lo : lo + width].T.astype(np.longdouble)
    run(x, w, lo, lo + width, y, column, add)
    sizes = add * np.abs(before) + np.abs(x[:, :K]) @ np.abs(w[lo : lo + width]).T
    error = np.abs(part - y[:, column : column + width])
    assert (error <= (K + 2) * np.finfo(dtype).eps / 2 * sizes).all()  # the bound for sums of K + 1 terms
    part[...] = y[:, column : column + width]
    np.testing.assert_array_equal(y, expected)  # nothing else was touched


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 700))
def test_a_number_is_the_same_sum_wherever_it_stands(M, O, K):  # noqa: E741
    """To the last bit: beside other rows of x, in a tile of another height, in another panel."""
    x, w = some(products.whole_tiles(M), K, dtype=np.float32), some(O, K, dtype=np.float32, seed=1)
    together = np.empty((len(x), O), np.float32)
    run(x, w, 0, O, together, 0, False)
    alone = np.empty((4, 1), np.float32)
    run(np.repeat(x[M - 1 : M], 4, axis=0), w, O - 1, O, alone, 0, False)
    assert (alone == together[M - 1, O - 1]).all()


def test_what_is_not_a_number_stays_in_its_row_and_column():
    x, w = some(12, 50, dtype=np.float32), some(40, 50, dtype=np.float32)
    x[5, 7], w[33, 2] = np.nan, np.inf
    y = np.empty((12, 40), np.float32)
    run(x, w, 0, 40, y, 0, False)
    damaged = ~np.isfinite(y)
    assert damaged[5].all()
    assert damaged[:, 33].all()
    assert damaged.sum() == 40 + 11


@given(st.integers(1, 5000), st.integers(1, 700))
def test_parts_are_even_and_no_longer_than_allowed(length, most):
    part = products.even_part(length, most)
    parts = -(-length // most)
    assert part <= most
    assert (parts - 1) * part < length <= parts * part


@given(st.integers(1, 20_000), st.sampled_from([4, 8]))
def test_a_block_of_panels_fits_the_second_level_cache(terms, itemsize):
    nbytes = panels_in_block(terms, itemsize) * products.even_part(terms, products.TERMS) * LANES * itemsize
    assert nbytes <= 384 * 1024


def test_rows_of_powers_of_two_do_not_lie_apart():
    widths = 512, 520, 576, 640, 768, 1024, 1376, 1536, 2048
    together = [width for width in widths if not products.rows_lie_apart(4 * width)]
    assert together == [512, 520, 768, 1024, 1376, 1536, 2048]
