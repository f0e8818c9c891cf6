"""Numerical derivatives are exact enough, and the measure of error lets nothing wrong pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from quanta_tissu.tisslm.inspect.differences import (
    ENTIRELY_WRONG,
    derivative,
    numerical_gradient,
    relative_error,
)

vectors = arrays.arrays(np.float64, st.integers(1, 6), elements=st.floats(-1e6, 1e6, allow_subnormal=False))


class TestRelativeError:
    @given(vectors)
    def test_nothing_differs_from_itself(self, x):
        assert relative_error(x, x) == 0

    @given(x=vectors, exponent=st.integers(-200, 200), seed=st.integers(0, 99))
    def test_units_do_not_matter(self, x, exponent, seed):
        y = x + np.random.default_rng(seed).normal(size=x.shape)
        assert relative_error(x * 2.0**exponent, y * 2.0**exponent) == pytest.approx(relative_error(x, y))

    @given(x=vectors, seed=st.integers(0, 99))
    def test_it_is_symmetric_and_at_most_two(self, x, seed):
        y = np.random.default_rng(seed).normal(size=x.shape)
        assert relative_error(x, y) == relative_error(y, x) <= ENTIRELY_WRONG

    @pytest.mark.parametrize("size", [1.0, 1e-9, 1e-300])
    def test_zeros_never_pass_for_something_however_small(self, size):
        assert relative_error(np.zeros(3), np.array([size, 0, 0])) == 1

    def test_the_opposite_is_entirely_wrong(self):
        assert relative_error([3.0], [-3.0]) == ENTIRELY_WRONG

    def test_small_elements_count_too(self):
        """A thousandth of the largest, wrong by a tenth: invisible to a norm, not here."""
        assert relative_error([1.0, 1.1e-3], [1.0, 1e-3]) == pytest.approx(0.1 / 1.1)

    def test_noise_far_below_the_floor_does_not(self):
        assert relative_error([1.0, 1e-14], [1.0, 0.0]) == pytest.approx(1e-10)

    def test_noise_is_measured_on_the_scale_of_its_surroundings(self):
        assert relative_error([1e-16], [0.0]) == 1
        assert relative_error([1e-16], [0.0], scale=1.0) == pytest.approx(1e-12)

    @pytest.mark.parametrize(
        ("actual", "expected"),
        [([1.0], [1.0, 1.0]), ([np.nan], [1.0]), ([1.0], [np.nan]), ([np.inf], [1.0]), ([np.inf], [-np.inf])],
    )
    def test_other_shapes_nan_and_infinities_are_entirely_wrong(self, actual, expected):
        assert relative_error(actual, expected) == ENTIRELY_WRONG

    def test_equal_infinities_are_equal(self):
        assert relative_error([np.inf, 2.0], [np.inf, 1.0]) == 0.5

    def test_empty_arrays_do_not_differ(self):
        assert relative_error(np.zeros((0, 3)), np.zeros((0, 3))) == 0


class TestDerivative:
    @pytest.mark.parametrize(
        ("f", "slope"),
        [
            (math.exp, 1.0),
            (lambda x: math.sin(3 * x), 3.0),
            (lambda x: 1 + 1e-2 * math.tanh(x), 1e-2),
            (lambda x: 1 / (0.01 + x), -1e4),  # bends over a hundredth: the first steps are too wide
            (lambda x: x**3, 0.0),
        ],
    )
    def test_known_slopes(self, f, slope):
        value, doubt = derivative(f)
        assert value == pytest.approx(slope, rel=1e-9, abs=1e-15)
        assert doubt <= 1e-6 * abs(slope) + 1e-15

    @pytest.mark.parametrize("kink", [1e-3, 1e-4])
    def test_a_kink_nearby_is_stepped_under(self, kink):
        value, doubt = derivative(lambda x: math.sin(x) + max(0.0, x - kink))
        assert value == pytest.approx(1, rel=1e-9)
        assert doubt < 1e-8

    def test_a_kink_too_close_leaves_doubt(self):
        _, doubt = derivative(lambda x: math.sin(x) + max(0.0, x - 3e-8))
        assert doubt > 1e-6


def test_the_numerical_gradient_of_a_quadratic():
    """f(x) = x xᵀ A has d⟨f, d⟩/dx = known; several outputs add up."""
    rng = np.random.default_rng(0)
    x, a, d = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    e = rng.normal(size=(2, 3))
    gradient = numerical_gradient(lambda x: (x @ a, x * x), x, (d, e))
    np.testing.assert_allclose(gradient, d @ a.T + 2 * x * e, rtol=1e-10)


def test_the_numerical_gradient_leaves_its_argument_alone():
    x = np.array([1.0, 2.0])
    numerical_gradient(lambda y: (y * y,), x, (np.ones(2),))
    assert x.tolist() == [1, 2]
