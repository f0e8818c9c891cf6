from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslm.config import ScheduleConfig
from quanta_tissu.tisslm.train.schedules import learning_rate_factor, warmup_steps


def nanogpt(it, learning_rate=1e-3, min_lr=1e-4, warmup_iters=100, lr_decay_iters=2000):
    """What nanoGPT's published CPU run uses, written from its description."""
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    if it > lr_decay_iters:
        return min_lr
    coefficient = 0.5 * (1.0 + math.cos(math.pi * (it - warmup_iters) / (lr_decay_iters - warmup_iters)))
    return min_lr + coefficient * (learning_rate - min_lr)


def test_cosine_with_warmup_is_nanogpts():
    config = ScheduleConfig(name="cosine", warmup_steps=100, final_ratio=0.1)
    for step in range(2200):
        assert 1e-3 * learning_rate_factor(config, step, 2000) == pytest.approx(nanogpt(step), rel=1e-12)


def factors(total, **config):
    return [learning_rate_factor(ScheduleConfig(**config), step, total) for step in range(total + 1)]


def test_constant():
    assert factors(5, name="constant", warmup_steps=0) == [1.0] * 6


def test_linear():
    expected = [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    assert factors(5, name="linear", warmup_steps=0, final_ratio=0) == pytest.approx(expected, abs=1e-15)


def test_step():
    got = factors(10, name="step", warmup_steps=2, step_size=3, gamma=0.5, final_ratio=0.2)
    assert got == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25])
    assert learning_rate_factor(ScheduleConfig(name="step", warmup_steps=0, step_size=1), 99, 100) == 0.1


def test_warmup_stable_decay():
    got = factors(10, name="wsd", warmup_steps=1, decay_fraction=0.4, final_ratio=0.2)
    assert got == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_warmup_is_given_in_steps_or_as_a_fraction():
    assert warmup_steps(ScheduleConfig(warmup_fraction=0.1), 250) == 25
    assert warmup_steps(ScheduleConfig(warmup_steps=0, warmup_fraction=0.1), 250) == 0
    assert warmup_steps(ScheduleConfig(warmup_steps=7, warmup_fraction=0.1), 250) == 7


def test_warmup_never_starts_at_zero():
    got = factors(10, name="constant", warmup_steps=4)
    assert got[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


@given(
    st.sampled_from(["constant", "linear", "cosine", "step", "wsd"]),
    st.integers(1, 300),
    st.integers(0, 400),
    st.floats(0, 1),
)
def test_factors_stay_between_zero_and_one_and_never_rise_after_the_warmup(name, total, warmup, final):
    got = factors(total, name=name, warmup_steps=warmup, final_ratio=final, step_size=10)
    assert all(0 <= f <= 1 for f in got)
    after = got[warmup:]
    assert all(b <= a + 1e-12 for a, b in pairwise(after))


@pytest.mark.parametrize("name", ["linear", "cosine", "wsd"])
def test_the_run_ends_at_the_final_ratio_and_stays_there(name):
    config = ScheduleConfig(name=name, final_ratio=0.3)
    assert learning_rate_factor(config, 500, 500) == pytest.approx(0.3)
    assert learning_rate_factor(config, 5000, 500) == pytest.approx(0.3)
