"""The counter-based random numbers behind the order of the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslm.data.splitmix import permutation, splitmix64


def step_by_step(seed: int, count: int) -> list[int]:
    """The generator as published, one step after the other, in Python's unbounded integers."""
    outputs, state, mask = [], seed, (1 << 64) - 1
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        outputs.append(z ^ (z >> 31))
    return outputs


def test_it_gives_the_published_numbers():
    # The usual test vector of SplitMix64 implementations.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert splitmix64(1234567, np.arange(4)).tolist() == expected


@given(seed=st.integers(0, 2**64 - 1), count=st.integers(1, 50))
def test_any_counter_is_reached_directly(seed, count):
    assert splitmix64(seed, np.arange(count)).tolist() == step_by_step(seed, count)
    assert splitmix64(seed, np.array([count - 1])).tolist() == step_by_step(seed, count)[-1:]


@given(seed=st.integers(0, 2**32), size=st.integers(0, 300), stream=st.integers(0, 5))
def test_a_permutation_has_every_index_once_and_is_repeatable(seed, size, stream):
    order = permutation(seed, size, stream=stream)
    assert sorted(order.tolist()) == list(range(size))
    np.testing.assert_array_equal(order, permutation(seed, size, stream=stream))


@pytest.mark.parametrize("other", [{"seed": 8, "stream": 0}, {"seed": 7, "stream": 1}])
def test_another_seed_or_stream_is_another_order(other):
    size = 1000
    agreeing = np.count_nonzero(permutation(7, size) == permutation(other["seed"], size, stream=other["stream"]))
    assert agreeing < 10  # two random orders agree at 1 place on average
