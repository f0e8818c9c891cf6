from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.train.ema import WeightAverage


def test_follows_its_formula():
    parameters = np.array([1.0, -2.0])
    average = WeightAverage(parameters, decay=0.3)
    expected = parameters.copy()
    for n, decay in ((1, 2 / 11), (2, 3 / 12), (3, 0.3), (4, 0.3)):
        parameters += n
        average.update()
        expected = decay * expected + (1 - decay) * parameters
        np.testing.assert_allclose(average.average, expected, rtol=1e-14)


def test_the_average_of_constant_weights_is_the_weights():
    average = WeightAverage(np.full(100_000, 0.1, np.float32), decay=0.999)
    for _ in range(5):
        average.update()
    assert np.array_equal(average.average, average.parameters)


def test_forgets_the_initial_weights_early():
    parameters = np.zeros(1)
    average = WeightAverage(parameters, decay=0.9999)
    parameters[:] = 1
    for _ in range(100):
        average.update()
    assert average.average[0] > 1 - 1e-9
    assert average.average[0] == pytest.approx(1)
