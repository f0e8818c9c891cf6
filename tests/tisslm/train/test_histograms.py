from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.train.histograms import BINS, Histogram, histograms


def test_describes_the_distribution():
    values = np.random.default_rng(0).normal(2, 3, size=(50, 40)).astype(np.float32)
    found = histograms({"weight": values})["weight"]
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean(), rel=1e-5)
    assert found.std == pytest.approx(values.std(), rel=1e-5)
    assert len(found.counts) == BINS
    assert sum(found.counts) == values.size
    below = found.minimum + (found.maximum - found.minimum) / 2
    assert sum(found.counts[: BINS // 2]) == np.count_nonzero(values < below)


def test_equal_values_are_one_bin():
    assert max(Histogram.of(np.ones(7)).counts) == 7
