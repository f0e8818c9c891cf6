"""The functions that kernels use, against the C library in double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.engine.vector_math import (
    exp,
    from_ordered_bits,
    normal_cdf_and_density,
    ordered_bits,
    sigmoid,
)

ULP = float(np.finfo(np.float32).eps)


@kernel
def exps(x, y):
    for i in range(x.size):
        y[i] = exp(x[i])


@kernel
def sigmoids(x, y):
    for i in range(x.size):
        y[i] = sigmoid(x[i])


@kernel
def cdfs(x, y):
    for i in range(x.size):
        y[i] = normal_cdf_and_density(x[i])[0]


@kernel
def densities(x, y):
    for i in range(x.size):
        y[i] = normal_cdf_and_density(x[i])[1]


@kernel
def through_ordered_bits(x, y):
    for i in range(x.size):
        y[i] = from_ordered_bits(ordered_bits(x[i]))


@kernel
def maximum(x):
    key = ordered_bits(x[0])
    for i in range(x.size):
        key = max(key, ordered_bits(x[i]))
    return from_ordered_bits(key)


def apply(function, x):
    y = np.empty_like(x)
    function(x, y)
    return y


def worst_relative_error(function, exact, x):
    expected = exact(x.astype(np.float64))
    return np.max(np.abs(apply(function, x) - expected) / expected)


def grid(low, high, dtype=np.float32):
    return np.linspace(low, high, 200_001).astype(dtype)


def test_exp_is_right_to_an_ulp():
    assert worst_relative_error(exps, np.exp, grid(-87.3, 88.0)) < ULP


def test_exp_of_what_is_tiny_is_zero():
    np.testing.assert_array_equal(apply(exps, np.array([-88.0, -1e4, -np.inf], np.float32)), 0)


def test_sigmoid_is_right_to_two_ulps_on_both_sides():
    assert worst_relative_error(sigmoids, special.expit, grid(-87.0, 87.0)) < 2 * ULP


def test_normal_cdf_is_relatively_right_far_into_the_tail():
    assert worst_relative_error(cdfs, special.ndtr, grid(-4.0, 10.0)) < 10 * ULP
    # Further out the rounding of x² / 2 shows, as it does in the C library's own float32 version.
    assert worst_relative_error(cdfs, special.ndtr, grid(-12.0, -4.0)) < 40 * ULP


def test_normal_cdf_is_right_to_two_ulps_of_one():
    x = grid(-15.0, 15.0)
    assert np.max(np.abs(apply(cdfs, x) - special.ndtr(x.astype(np.float64)))) < 2 * ULP


def test_normal_density():
    def exact(x):
        return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    assert worst_relative_error(densities, exact, grid(-4.0, 4.0)) < 10 * ULP


@pytest.mark.parametrize(
    ("function", "exact"),
    [(exps, np.exp), (sigmoids, special.expit), (cdfs, special.ndtr)],
    ids=["exp", "sigmoid", "normal_cdf"],
)
def test_double_precision_is_the_c_librarys(function, exact):
    assert worst_relative_error(function, exact, grid(-6.0, 6.0, np.float64)) < 1e-14


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", [exps, sigmoids, cdfs])
def test_not_a_number_comes_through(function, dtype):
    x = np.zeros(20, dtype)
    x[3] = np.nan
    y = apply(function, x)
    assert np.isnan(y[3])
    assert np.isfinite(np.delete(y, 3)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ordered_bits_order_all_numbers_and_lose_none(dtype):
    x = np.array([-np.inf, -1e30, -1.5, -1e-40, 0.0, 1e-40, 1.0, 1e30, np.inf], dtype)
    np.testing.assert_array_equal(apply(through_ordered_bits, x), x)
    for end in range(1, len(x) + 1):
        assert maximum(np.roll(x[:end], 1).copy()) == x[end - 1]
    assert math.isnan(maximum(np.append(x, dtype(np.nan))))


def test_outside_kernels_they_say_where_to_call_them():
    for function in (exp, sigmoid, normal_cdf_and_density, ordered_bits, from_ordered_bits):
        with pytest.raises(NotImplementedError, match="inside a kernel"):
            function(1.0)
