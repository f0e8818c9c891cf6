"""Rotary positions: rotations that make dot products depend on distances alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.engine import engines

both_pairings = pytest.mark.parametrize("interleaved", [False, True])


def tables(positions, width=8, theta=10_000.0):
    angles = np.asarray(positions)[..., None] * theta ** (-np.arange(0, width, 2) / width)
    angles = angles.reshape(-1, *angles.shape[-2:])
    return {"cos": np.cos(angles), "sin": np.sin(angles)}


def some(T=5, seed=0):
    return np.random.default_rng(seed).normal(size=(2, T, 3, 8))


@both_pairings
def test_norms_are_preserved(each_engine, interleaved):
    x = some()
    y = ops.rope(x, **tables(range(5)), interleaved=interleaved)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-13)


@both_pairings
def test_position_zero_changes_nothing(each_engine, interleaved):
    x = some(T=1)
    np.testing.assert_array_equal(ops.rope(x, **tables([0]), interleaved=interleaved), x)


@given(m=st.integers(0, 500), n=st.integers(0, 500), shift=st.integers(0, 500), interleaved=st.booleans())
@settings(max_examples=50, deadline=None)
def test_dot_products_depend_on_the_distance_alone(m, n, shift, interleaved):
    q, k = some(T=1, seed=1), some(T=1, seed=2)

    def dot(at_q, at_k):
        turned_q = ops.rope(q, **tables([at_q]), interleaved=interleaved)
        turned_k = ops.rope(k, **tables([at_k]), interleaved=interleaved)
        return np.sum(turned_q * turned_k, axis=-1)

    np.testing.assert_allclose(dot(m, n), dot(m + shift, n + shift), rtol=1e-10, atol=1e-10)


def test_the_pairings_are_permutations_of_each_other(each_engine):
    """Half-split is interleaved on reordered channels, which is how checkpoints of either kind are converted."""
    x, order = some(), [0, 2, 4, 6, 1, 3, 5, 7]
    interleaved = ops.rope(x, **tables(range(5)), interleaved=True)
    halves = ops.rope(np.ascontiguousarray(x[..., order]), **tables(range(5)), interleaved=False)
    np.testing.assert_allclose(halves, interleaved[..., order], rtol=1e-14)


def test_a_quarter_turn(each_engine):
    x = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4)
    quarter = {"cos": np.zeros((1, 1, 2)), "sin": np.ones((1, 1, 2))}
    assert ops.rope(x, **quarter, interleaved=False).ravel().tolist() == [-3, -4, 1, 2]
    assert ops.rope(x, **quarter, interleaved=True).ravel().tolist() == [-2, 1, -4, 3]


@both_pairings
def test_backward_turns_back(each_engine, interleaved):
    """A rotation's transpose is its inverse."""
    x, implementation = some(), engines.current().implementation(ops.rope)
    y, saved = implementation.forward(x, **tables(range(5)), interleaved=interleaved)
    np.testing.assert_allclose(implementation.backward(saved, y)[0], x, rtol=1e-13, atol=1e-14)


def test_every_sequence_may_have_its_own_positions(each_engine):
    x = some()
    positions = np.array([[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]])
    y = ops.rope(x, **tables(positions))
    for row in range(2):
        np.testing.assert_array_equal(y[row : row + 1], ops.rope(x[row : row + 1], **tables(positions[row])))


def test_tables_of_other_precision_do_not_change_the_type(each_engine):
    y = ops.rope(some().astype(np.float32), **tables(range(5)))
    assert y.dtype == np.float32


@both_pairings
def test_heads_behind_the_rotated_ones_stay_as_they_are(each_engine, interleaved):
    """As values do behind queries and keys."""
    x = some()
    y = ops.rope(x, **tables(range(5)), interleaved=interleaved, heads=2)
    np.testing.assert_array_equal(y[:, :, 2:], x[:, :, 2:])
    np.testing.assert_array_equal(y[:, :, :2], ops.rope(x[:, :, :2], **tables(range(5)), interleaved=interleaved))
