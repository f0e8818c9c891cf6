"""Parameters are named views on one flat buffer."""

import numpy as np
import pytest

from quanta_tissu.tisslm.model import Parameters, ParameterSpec

SPECS = [
    ParameterSpec("model.layers.3.self_attn.o_proj.weight", (3, 5), "matrix"),
    ParameterSpec("model.norm.weight", (7,), "ones"),
]


def test_arrays_are_views_on_the_flat_buffer():
    parameters = Parameters(SPECS)
    parameters.flat[:] = np.arange(len(parameters.flat))
    assert parameters["model.norm.weight"][0] == parameters.slices["model.norm.weight"].start
    parameters["model.norm.weight"][:] = -1
    assert parameters.flat[parameters.slices["model.norm.weight"]].tolist() == [-1] * 7


def test_every_parameter_starts_on_a_64_byte_boundary():
    parameters = Parameters(SPECS)
    assert [s.start * parameters.dtype.itemsize % 64 for s in parameters.slices.values()] == [0, 0]
    assert parameters.num_elements == 22
    assert parameters.flat.size == 32


def test_a_buffer_of_the_wrong_size_is_refused():
    with pytest.raises(ValueError, match=r"\(10,\); these parameters need \(32,\)"):
        Parameters(SPECS, np.zeros(10, np.float32))


def test_like_shares_names_but_not_values():
    parameters = Parameters(SPECS)
    parameters.flat[:] = 1
    gradients = parameters.like()
    assert list(gradients) == list(parameters)
    assert not gradients.flat.any()


def test_copies_are_independent():
    parameters = Parameters(SPECS)
    wide = parameters.astype(np.float64)
    other = parameters.copy()
    parameters.flat[:] = 1
    assert wide.dtype == np.float64
    assert not wide.flat.any()
    assert not other.flat.any()


def test_specs_know_their_layer_and_whether_they_decay():
    assert [spec.layer for spec in SPECS] == [3, None]
    assert [spec.decay for spec in SPECS] == [True, False]
