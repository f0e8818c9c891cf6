"""Vectors inside kernels: every function against NumPy, in both precisions."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.engine import simd
from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.engine.simd import LANES

load, store, broadcast, maximum, between = simd.load, simd.store, simd.broadcast, simd.maximum, simd.between
sum_of, largest_of, exp_of = simd.sum_of, simd.largest_of, simd.exp_of
add_tile_product, add_tall_tile_product = simd.add_tile_product, simd.add_tall_tile_product
transpose_tile, prefetch = simd.transpose_tile, simd.prefetch

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@kernel
def arithmetic(x, y, factor, result):
    a, b = load(x, 1, 2), load(y, 0, 0)
    store(result, 0, 0, (a + b) * factor - factor * (a - b) + (factor + a) * b)


@kernel
def masked(x, start, end, other, result):
    store(result, 0, 0, between(load(x, 0, 0), start, end, other))


@kernel
def exponentials(x, y):
    for j in range(0, x.shape[1], LANES):
        store(y, 0, j, exp_of(load(x, 0, j)))


@kernel
def folded(x):
    return sum_of(load(x, 0, 0)), largest_of(load(x, 0, 0))


@kernel
def larger(x, y, result):
    store(result, 0, 0, maximum(load(x, 0, 0), load(y, 0, 0)))


@kernel
def tile_product(a, i, k, b, m, j, terms, c, r, s, add):
    add_tile_product(a, i, k, b, m, j, terms, c, r, s, add)


@kernel
def tall_tile_product(a, i, k, b, m, j, terms, c, r, s, add):
    add_tall_tile_product(a, i, k, b, m, j, terms, c, r, s, add)


@kernel
def asked_for(x, i, j):
    prefetch(x, i, j)


@kernel
def transposed(a, i, j, b, r, s):
    transpose_tile(a, i, j, b, r, s)


def some(*shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@dtypes
def test_arithmetic_on_vectors_and_numbers(dtype):
    x, y, factor = some(3, LANES + 5, dtype=dtype), some(1, LANES, dtype=dtype, seed=1), dtype(0.7)
    result = np.zeros((1, LANES), dtype)
    arithmetic(x, y, factor, result)
    a, b = x[1, 2 : 2 + LANES], y[0]
    np.testing.assert_allclose(result[0], (a + b) * factor - factor * (a - b) + (factor + a) * b, rtol=1e-5)


@dtypes
def test_vectors_read_rows_of_any_stride(dtype):
    x, result = some(6, 2 * LANES, dtype=dtype)[::2], np.zeros((1, LANES), dtype)
    arithmetic(x, np.zeros((1, LANES), dtype), dtype(1), result)
    np.testing.assert_allclose(result[0], 0 * x[1, 2 : 2 + LANES], atol=1e-6)
    folds = folded(x[1:])
    np.testing.assert_allclose(folds, (x[1, :LANES].sum(), x[1, :LANES].max()), rtol=1e-5)


@dtypes
@pytest.mark.parametrize(("start", "end"), [(0, LANES), (3, 9), (-5, 4), (10, 40), (7, 7), (-9, -2), (20, 30)])
def test_lanes_outside_a_range_are_replaced(start, end, dtype):
    x, result = some(1, LANES, dtype=dtype), np.zeros((1, LANES), dtype)
    masked(x, start, end, dtype(-np.inf), result)
    lanes = np.arange(LANES)
    np.testing.assert_array_equal(result[0], np.where((lanes >= start) & (lanes < end), x[0], -np.inf))


@dtypes
@pytest.mark.parametrize("place", range(LANES))
def test_sum_and_maximum_look_at_every_lane(place, dtype):
    x = np.full((1, LANES), -3, dtype)
    x[0, place] = 2
    assert folded(x) == (2 - 3 * (LANES - 1), 2)


@dtypes
def test_a_maximum_keeps_the_first_where_one_is_not_a_number(dtype):
    x, y, result = some(1, LANES, dtype=dtype), some(1, LANES, dtype=dtype, seed=1), np.zeros((1, LANES), dtype)
    x[0, 1], y[0, 2] = np.nan, np.nan
    larger(x, y, result)
    expected = np.maximum(x, y)
    expected[0, 2] = x[0, 2]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(("dtype", "ulps"), [(np.float32, 2), (np.float64, 1)])
def test_exponentials(dtype, ulps):
    x = np.linspace(-87, 80, 20 * LANES).astype(dtype)[None]
    y = np.empty_like(x)
    exponentials(x, y)
    exact = np.exp(x.astype(np.float64))
    assert np.max(np.abs(y - exact) / exact) <= ulps * np.finfo(dtype).eps


@dtypes
def test_exponentials_of_what_is_no_ordinary_number(dtype):
    x, y = np.zeros((1, LANES), dtype), np.empty((1, LANES), dtype)
    x[0, :3] = -np.inf, np.nan, -1000
    exponentials(x, y)
    np.testing.assert_array_equal(y[0, :4], [0, np.nan, 0, 1])


@dtypes
@pytest.mark.parametrize("terms", [0, 1, 2, 5, 16, 33])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize(
    ("product", "rows"), [(tile_product, simd.TILE_ROWS), (tall_tile_product, simd.TALL_TILE_ROWS)]
)
def test_a_tile_of_a_product(product, rows, terms, add, transpose, dtype):
    a = some(40, 9, dtype=dtype).T if transpose else some(9, 40, dtype=dtype)
    b, c = some(40, 3 * LANES, dtype=dtype, seed=1), some(10, 2 * LANES, dtype=dtype, seed=2)
    expected = c.copy()
    tile = expected[3 : 3 + rows, 5 : 5 + LANES]
    exact = a[2 : 2 + rows, 4 : 4 + terms] @ b[6 : 6 + terms, 7 : 7 + LANES]
    tile[...] = tile + exact if add else exact
    product(a, 2, 4, b, 6, 7, terms, c, 3, 5, add)
    np.testing.assert_allclose(c, expected, rtol=0, atol=40 * np.finfo(dtype).eps)


@dtypes
def test_asking_ahead_changes_nothing_and_may_ask_for_what_is_not_there(dtype):
    x = some(3, 5, dtype=dtype)
    before = x.copy()
    for i, j in ((0, 0), (2, 4), (3, 0), (-1, 7), (10_000, 10_000)):
        asked_for(x, i, j)
    np.testing.assert_array_equal(x, before)


@dtypes
def test_a_tile_is_transposed_and_nothing_else_is_touched(dtype):
    a, b = some(20, 30, dtype=dtype), np.zeros((25, 20), dtype)
    transposed(a, 3, 5, b, 2, 1)
    expected = np.zeros_like(b)
    expected[2 : 2 + LANES, 1 : 1 + LANES] = a[3 : 3 + LANES, 5 : 5 + LANES].T
    np.testing.assert_array_equal(b, expected)
