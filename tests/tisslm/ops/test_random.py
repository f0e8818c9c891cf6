"""Dropout masks: a pure function of the seed, with the right share kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslm.ops.random import keep_mask, keep_mask_in_parts

FROZEN = [
    [1, 1, 1, 0, 0, 0, 0, 0],
    [1, 1, 0, 1, 0, 0, 1, 1],
    [0, 0, 0, 1, 0, 0, 1, 0],
]


def test_masks_are_frozen_for_ever():
    """A resumed run must draw what the interrupted one would have drawn, on any machine and version."""
    assert keep_mask((3, 8), 0.5, (1, 2, 3)).astype(int).tolist() == FROZEN


@given(seed=st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=5).map(tuple), p=st.floats(0, 0.99))
def test_the_same_seed_gives_the_same_mask(seed, p):
    np.testing.assert_array_equal(keep_mask((4, 5), p, seed), keep_mask((4, 5), p, seed))


def test_every_part_of_the_seed_matters():
    seeds = [(1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3), (1, 2), (1, 2, 3, 0), (123,), (2**32, 0), (0, 1)]
    masks = {keep_mask((64,), 0.5, seed).tobytes() for seed in seeds}
    assert len(masks) == len(seeds)


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_the_share_that_is_kept(p):
    """Within five standard deviations of 1 - p."""
    n = 200_000
    kept = keep_mask((n,), p, (0,)).mean()
    assert abs(kept - (1 - p)) < 5 * np.sqrt(p * (1 - p) / n)


def test_zero_keeps_everything():
    assert keep_mask((1000,), 0.0, (3,)).all()


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_what_is_no_probability_below_one_is_refused(p):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        keep_mask((2,), p, (0,))


@given(rows=st.lists(st.integers(0, 5), min_size=1, max_size=5), width=st.integers(1, 7))
def test_a_mask_may_be_drawn_in_parts(rows, width):
    draw = keep_mask_in_parts(0.4, (1, 2))
    parts = [draw((n, width)) for n in rows]
    np.testing.assert_array_equal(np.concatenate(parts), keep_mask((sum(rows), width), 0.4, (1, 2)))
