from __future__ import annotations

import math

import numpy as np
import pytest

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm.train.guard import WINDOW, SpikeDetector, require_finite


@pytest.mark.parametrize(
    ("loss", "norm", "message"),
    [
        (math.nan, 1.0, "the loss is nan at step 7"),
        (math.inf, 1.0, "the loss is inf at step 7"),
        (2.0, math.nan, "the gradient norm is nan at step 7"),
    ],
)
def test_numbers_that_are_not_finite_stop_the_run_and_say_where(loss, norm, message):
    with pytest.raises(TrainingError, match=message) as error:
        require_finite(7, loss, norm)
    assert "learning_rate" in error.value.hint
    assert "--resume" in error.value.hint


def test_in_float16_the_precision_is_named_as_a_possible_cause():
    with pytest.raises(TrainingError) as error:
        require_finite(7, math.inf, 1.0, float16=True)
    assert "train.precision = float32" in error.value.hint


def test_finite_numbers_pass():
    require_finite(0, 1e30, 0.0)


def test_z_score_is_that_of_the_window():
    values = np.random.default_rng(0).normal(3, 2, size=200)
    detector = SpikeDetector(4.0)
    for value in values:
        detector.observe(value)
    window = values[-WINDOW:]
    assert detector.z_score(10.0) == pytest.approx((10 - window.mean()) / window.std(), rel=1e-12)


def test_a_spike_is_told_and_a_dip_is_not():
    detector = SpikeDetector(4.0, [1.0, 1.1, 0.9] * 10)
    assert detector.observe(1.2) is None
    assert detector.observe(0.0) is None
    assert detector.observe(5.0) > 4


def test_nothing_is_a_spike_before_there_is_a_window():
    detector = SpikeDetector(2.0)
    assert [detector.observe(v) for v in (1.0, 1.1, 0.9, 1e6)] == [None] * 4


def test_equal_values_have_no_spread_to_measure_by():
    assert SpikeDetector(2.0, [1.0] * 50).observe(1.5) is None


def test_a_lasting_change_of_level_becomes_normal():
    detector = SpikeDetector(3.0, [1.0, 1.1] * 30)
    told = [detector.observe(5.0) is not None for _ in range(50)]
    assert told[0]
    assert not told[-1]
