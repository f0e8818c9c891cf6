from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslm.config import TrainConfig
from quanta_tissu.tisslm.train.plan import DEFAULT_STEPS, BatchPlan

plans = st.builds(
    lambda size, accumulation, ramp, start, epochs, per_epoch, cut: BatchPlan(
        TrainConfig(
            batch_size=size,
            gradient_accumulation=accumulation,
            batch_ramp_steps=ramp,
            batch_ramp_start=min(start, size),
            max_epochs=epochs,
        ),
        per_epoch,
        cut_epochs=cut,
    ),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(0, 12),
    st.integers(1, 9),
    st.none() | st.floats(0.1, 6),
    st.integers(1, 60),
    st.booleans(),
)


@given(plans)
def test_steps_follow_one_another_without_gap_or_overlap(plan):
    position = 0
    for step in range(40):
        piece = plan.step(step)
        assert piece.start == position
        position += piece.count
    assert plan.start(40) == position


@given(plans, st.integers(0, 30), st.integers(0, 30))
def test_a_plan_taken_over_in_the_middle_is_the_same_plan(plan, middle, further):
    resumed = BatchPlan(
        plan.config,
        plan.per_epoch,
        cut_epochs=plan.cut_epochs,
        first_step=middle,
        first_position=plan.start(middle),
    )
    assert resumed.step(middle + further) == plan.step(middle + further)
    assert resumed.total_steps == plan.total_steps or plan.start(middle) == plan.end


@given(plans)
def test_micro_batches_are_full_but_the_last(plan):
    for step in range(30):
        sizes = plan.step(step).micro_batches
        assert len(sizes) <= plan.config.gradient_accumulation
        assert all(size == plan.batch_size(step) for size in sizes[:-1])
        assert all(0 < size <= plan.batch_size(step) for size in sizes)


@given(plans)
def test_no_step_crosses_the_end_of_an_epoch_that_cuts(plan):
    if not plan.cut_epochs:
        return
    for step in range(30):
        piece = plan.step(step)
        if piece.count:
            assert piece.start // plan.per_epoch == (piece.start + piece.count - 1) // plan.per_epoch


@given(plans)
def test_a_run_of_epochs_sees_exactly_its_sequences(plan):
    if plan.end is None:
        assert plan.total_steps == DEFAULT_STEPS
        return
    total = plan.total_steps
    assert sum(plan.step(step).count for step in range(total)) == plan.end
    assert plan.step(total - 1).count > 0


def test_the_tail_of_an_epoch_is_flushed_in_the_middle_of_an_accumulation():
    plan = BatchPlan(TrainConfig(batch_size=4, gradient_accumulation=3, max_epochs=2), 30, cut_epochs=True)
    assert [plan.step(s).micro_batches for s in range(6)] == [(4, 4, 4), (4, 4, 4), (4, 2)] * 2
    assert plan.total_steps == 6


def test_random_windows_run_across_epochs_and_are_cut_at_the_end_of_the_run():
    plan = BatchPlan(TrainConfig(batch_size=4, max_epochs=1.5), 9, cut_epochs=False)
    assert [plan.step(s).micro_batches for s in range(4)] == [(4,), (4,), (4,), (2,)]
    assert plan.total_steps == 4


def test_the_batch_grows_linearly():
    config = TrainConfig(batch_size=10, batch_ramp_steps=4, batch_ramp_start=2)
    plan = BatchPlan(config, 1000, cut_epochs=False)
    assert [plan.batch_size(s) for s in range(7)] == [2, 4, 6, 8, 10, 10, 10]
    assert plan.start(6) == 2 + 4 + 6 + 8 + 10 + 10


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"max_steps": 7}, 7),
        ({"max_steps": 7, "max_seconds": 5}, 7),
        ({"max_seconds": 5}, None),
        ({}, DEFAULT_STEPS),
        ({"max_epochs": 0.001}, 1),
    ],
)
def test_the_length_of_a_run(limits, steps):
    assert BatchPlan(TrainConfig(batch_size=4, **limits), 100, cut_epochs=False).total_steps == steps
