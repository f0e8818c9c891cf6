from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.train.optimizers import SGD, AdamW, Group, Lion, RMSProp
from quanta_tissu.tisslm.train.optimizers.base import _share, merge

GROUPS = [Group(0, 70_000, 1.0, 0.1), Group(70_000, 70_003, 0.5), Group(70_003, 200_001, 2.0, 0.1)]


@pytest.mark.parametrize("kind", [AdamW, SGD, RMSProp, Lion])
def test_threads_do_not_change_a_bit(kind):
    rng = np.random.default_rng(0)
    start, gradients = (
        rng.normal(size=200_001).astype(np.float32),
        rng.normal(size=(3, 200_001)).astype(np.float32),
    )
    results = []
    for size in (1, 2, 3):
        with ThreadTeam(size) as team:
            parameters = start.copy()
            optimizer = kind(parameters, GROUPS, learning_rate=0.1, team=team)
            for gradient in gradients:
                optimizer.step(gradient)
            results.append(parameters)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    assert not np.array_equal(results[0], start)


def test_elements_outside_all_groups_are_left_alone():
    parameters = np.ones(10, np.float32)
    SGD(parameters, [Group(2, 5)], learning_rate=1.0).step(np.ones(10, np.float32))
    assert np.flatnonzero(parameters != 1).tolist() == [2, 3, 4]


@pytest.mark.parametrize("kind", [AdamW, SGD, RMSProp, Lion])
def test_gradient_scale_is_a_factor_on_the_gradient(kind):
    gradient = np.linspace(-1, 1, 30)
    scaled, given_scale = np.ones(30), np.ones(30)
    first = kind(scaled, [Group(0, 30, weight_decay=0.1)], learning_rate=0.1)
    second = kind(given_scale, [Group(0, 30, weight_decay=0.1)], learning_rate=0.1)
    for _ in range(3):
        first.step(gradient * 0.25)
        second.step(gradient, gradient_scale=0.25)
    np.testing.assert_allclose(scaled, given_scale, rtol=1e-13)


def test_state_goes_to_another_optimizer_and_the_run_goes_on_exactly():
    rng = np.random.default_rng(1)
    gradients = rng.normal(size=(6, 40)).astype(np.float32)
    through = np.ones(40, np.float32)
    optimizer = AdamW(through, [Group(0, 40)], learning_rate=0.1)
    for i, gradient in enumerate(gradients):
        if i == 3:
            resumed = through.copy()
            other = AdamW(resumed, [Group(0, 40)], learning_rate=0.1)
            other.load_state_dict({k: v.copy() for k, v in optimizer.state_dict().items()}, optimizer.steps)
        optimizer.step(gradient)
    for gradient in gradients[3:]:
        other.step(gradient)
    assert np.array_equal(through, resumed)
    assert other.steps == optimizer.steps == 6


def test_state_of_another_optimizer_or_architecture_is_refused():
    optimizer = AdamW(np.ones(4, np.float32), [Group(0, 4)], learning_rate=0.1)
    with pytest.raises(CheckpointError, match="momentum"):
        optimizer.load_state_dict(SGD(np.ones(4, np.float32), [], learning_rate=0.1).state_dict(), 1)
    with pytest.raises(CheckpointError, match=r"float32\[5\].*float32\[4\]"):
        optimizer.load_state_dict(AdamW(np.ones(5, np.float32), [], learning_rate=0.1).state_dict(), 1)
    assert optimizer.steps == 0


def test_neighbours_with_the_same_settings_are_one_group():
    groups = [Group(5, 9, 1.0, 0.1), Group(0, 5, 1.0, 0.1), Group(9, 12), Group(13, 14)]
    assert merge(groups) == [Group(0, 9, 1.0, 0.1), Group(9, 12), Group(13, 14)]


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=8), st.integers(1, 5))
def test_shares_cover_every_element_once_and_are_even(sizes, workers):
    stops = np.cumsum(sizes).tolist()
    groups = [Group(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
    shares = _share(groups, workers)
    spans = sorted((g.start, g.stop) for share in shares for g in share)
    assert spans[0][0] == 0
    assert spans[-1][1] == stops[-1]
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    loads = [sum(g.stop - g.start for g in share) for share in shares]
    assert max(loads) - min(loads) <= workers
