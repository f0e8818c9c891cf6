"""Vectors are checked, and brought to length one where nearness is an angle."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.errors import InvalidDocumentError
from quanta_tissu.tissdb.definitions import Index
from quanta_tissu.tissdb.search.vectors import checked


def index(metric):
    return Index(1, "v", "vector", (), {"dimension": 4, "metric": metric})


@pytest.mark.parametrize("size", [1e-30, 1.0, 3e38])
def test_a_vector_of_any_size_gets_length_one(size):
    np.testing.assert_allclose(checked(index("cosine"), np.full(4, size, np.float32)), np.full(4, 0.5), rtol=1e-6)


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_it_stays_as_it_is_where_its_length_counts(metric):
    vector = np.array([3e38, -3e38, 1, 0], np.float32)
    np.testing.assert_array_equal(checked(index(metric), vector), vector)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(metric, wrong):
    with pytest.raises(InvalidDocumentError, match="NaN or infinity"):
        checked(index(metric), [1, wrong, 0, 0])
