"""Contributions of several replicas add up in one order, whatever the order in which they come."""

from __future__ import annotations

import itertools
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslm.engine.gradient import RowGradient
from quanta_tissu.tisslm.model.parameter import Parameters, ParameterSpec
from quanta_tissu.tisslm.train import gradients
from quanta_tissu.tisslm.train.gradients import Gradients, GradientSum

SPECS = [
    ParameterSpec("a", (3, 7), "matrix"),
    ParameterSpec("b", (16,), "zeros"),
    ParameterSpec("c", (2, 8), "matrix"),
]


def contributions(counts, seed=0):
    """Float32 arrays (3, 7) of such different sizes that every order of adding them gives other bits."""
    rng = np.random.default_rng(seed)
    return [
        [(rng.normal(size=(3, 7)) * 10.0 ** rng.integers(-4, 4)).astype(np.float32) for _ in range(n)]
        for n in counts
    ]


def in_turn(arrays):
    """The sum in the promised order."""
    total = None
    for of_turn in itertools.zip_longest(*arrays):
        for array in of_turn:
            if array is not None:
                total = array.copy() if total is None else total + array
    return np.zeros((3, 7), np.float32) if total is None else total


def sum_of(replicas):
    return GradientSum((3, 7), 32, np.dtype(np.float32), replicas)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_arrival_does_not_change_a_bit(counts, random, fresh):
    """One thread plays all replicas, so nobody may wait."""
    arrays = contributions(counts)
    total = sum_of(len(counts))
    total._patient = False
    arrivals = [r for r, n in enumerate(counts) for _ in range(n + 1)]  # the last one is the end
    random.shuffle(arrivals)
    left = [iter(of_replica) for of_replica in arrays]
    for replica in arrivals:
        array = next(left[replica], None)
        if array is None:
            total.end(replica)
        else:
            total.add(replica, array.copy(), fresh)
    np.testing.assert_array_equal(total.array, in_turn(arrays))
    assert not total.total[21:].any()


def test_a_replica_that_ends_with_nothing_holds_nobody_up():
    """Whether it ends before the other one, between its contributions, or after them."""
    arrays = contributions([0, 3])
    for place in range(4):
        total = sum_of(2)
        for number, array in enumerate(arrays[1]):
            if number == place:
                total.end(0)
            total.add(1, array, False)
        total.end(1)
        total.end(0)
        np.testing.assert_array_equal(total.array, in_turn(arrays))


def test_threads_that_contribute_at_once_lose_nothing():
    counts = [40, 40, 39, 1]
    arrays = contributions(counts)
    total = sum_of(4)
    start = threading.Barrier(4)

    def contribute(replica):
        start.wait()
        for array in arrays[replica]:
            total.add(replica, array, False)
        total.end(replica)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=contribute, args=(r,)) for r in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    np.testing.assert_array_equal(total.array, in_turn(arrays))


class TestAReplicaThatIsFarAhead:
    @pytest.fixture
    def moment(self, monkeypatch):
        """`moment(seconds)`: how long it waits at most."""
        return lambda seconds: monkeypatch.setattr(gradients, "_MOMENT", seconds)

    def test_waits_until_the_other_one_has_caught_up(self, moment):
        moment(60.0)
        arrays = contributions([8, 8])
        total = sum_of(2)

        def hurry():
            for array in arrays[1]:
                total.add(1, array, False)
            total.end(1)

        ahead = threading.Thread(target=hurry)
        ahead.start()
        for array in arrays[0]:
            time.sleep(0.01)
            assert len(total._kept[1]) <= 3
            total.add(0, array, False)
        total.end(0)
        ahead.join()
        np.testing.assert_array_equal(total.array, in_turn(arrays))

    def test_goes_on_if_the_other_one_does_not_come(self, moment):
        moment(1)
        arrays = contributions([0, 50])
        total = sum_of(2)
        began = time.monotonic()
        for array in arrays[1]:
            total.add(1, array, False)
        assert time.monotonic() - began < 25  # and not 50: it is waited for once
        total.end(1)
        total.end(0)
        np.testing.assert_array_equal(total.array, in_turn(arrays))


def test_a_fresh_array_becomes_the_sum_and_another_one_is_left_alone():
    total = GradientSum((2, 8), 16, np.dtype(np.float32), 1)
    first, second = np.ones((2, 8), np.float32), np.full((2, 8), 2, np.float32)
    total.add(0, first, True)
    total.add(0, second, True)
    assert np.shares_memory(total.array, first)
    assert (first == 3).all()
    assert (second == 2).all()
    total.clear()
    total.add(0, second, False)
    total.add(0, first, False)
    assert (second == 2).all()
    assert (total.array == 5).all()


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2]])
def test_arrays_in_any_layout(layout):
    x = np.arange(16, dtype=np.float32).reshape(2, 8)
    total = GradientSum((2, 8), 16, np.dtype(np.float32), 1)
    total.add(0, layout(x), True)
    total.add(0, layout(x), True)
    np.testing.assert_array_equal(total.array, 2 * x)


def test_rows_of_a_table_add_to_what_is_there():
    rows = RowGradient(np.array([2, 0, 2]), np.arange(21, dtype=np.float32).reshape(3, 7), 3)
    total = sum_of(1)
    total.add(0, rows, False)
    np.testing.assert_array_equal(total.array, rows.dense())
    total.add(0, np.ones((3, 7), np.float32), True)
    total.add(0, rows, False)
    np.testing.assert_array_equal(total.array, 2 * rows.dense() + 1)


class TestGradients:
    @pytest.fixture
    def gradients(self):
        gradients = Gradients(Parameters(SPECS), 1)
        for number, spec in enumerate(SPECS[:2]):
            gradients.receiver(spec.name, 0)(np.full(spec.shape, number + 1, np.float32), True)
        gradients.end(0)
        return gradients

    def test_they_are_a_mapping_that_cannot_be_written_to(self, gradients):
        assert list(gradients) == ["a", "b", "c"]
        assert len(gradients) == 3
        assert {name: g.shape for name, g in gradients.items()} == {"a": (3, 7), "b": (16,), "c": (2, 8)}
        assert (gradients["b"] == 2).all()
        assert not gradients["c"].any()  # nothing came
        with pytest.raises(ValueError, match="read-only"):
            gradients["a"][0, 0] = 1

    def test_spans_of_the_flat_buffer_with_padding(self, gradients):
        slices = Parameters(SPECS).slices
        for name, size in (("a", 32), ("b", 16), ("c", 16)):
            start = slices[name].start
            span = gradients.flat[start : start + size]
            np.testing.assert_array_equal(span[: gradients[name].size], gradients[name].reshape(-1))
            assert not span[gradients[name].size :].any()
            np.testing.assert_array_equal(gradients.flat[start + 3 : start + 5], span[3:5])

    def test_squared_norms_are_known_of_sums_until_somebody_may_have_written_to_them(self):
        gradients = Gradients(Parameters(SPECS), 2)
        rng = np.random.default_rng(0)
        for replica, name in itertools.product(range(2), "ab"):
            shape = gradients[name].shape
            gradients.receiver(name, replica)(rng.normal(size=shape).astype(np.float32), True)
        known, others = gradients.squared_norms()
        assert known == pytest.approx([np.sum(np.float64(gradients[name]) ** 2) for name in "ab"], rel=1e-13)
        assert [array.shape for array in others] == [(16,)]
        rows = RowGradient(np.array([1]), np.ones((1, 7), np.float32), 3)
        gradients.receiver("a", 0)(rows, True)
        gradients.end(1)
        known, others = gradients.squared_norms()
        assert len(known) == 1
        assert [array.shape for array in others] == [(32,), (16,)]
        gradients.totals()
        known, others = gradients.squared_norms()
        assert not known
        assert len(others) == 3

    def test_totals_can_be_changed(self, gradients):
        for total in gradients.totals():
            total *= 2
        assert (gradients["b"] == 4).all()

    def test_cleared_they_are_zero_again(self, gradients):
        gradients.clear()
        assert not any(g.any() for g in gradients.values())
