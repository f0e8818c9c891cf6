"""What stands in for a flat buffer makes parameters when they are asked for, and keeps none."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model import Decoder, Parameters, ParameterSpec
from quanta_tissu.tisslm.model.deferred import Deferred

MODEL = ModelConfig(vocab_size=11, d_model=8, n_heads=2, n_layers=2, context_length=4, bias=True)
SPECS = [ParameterSpec("a", (3, 5), "matrix"), ParameterSpec("b", (7,), "zeros")]


@pytest.fixture
def made():
    return []


@pytest.fixture
def deferred(made):
    def make(spec):
        made.append(spec.name)
        return np.arange(spec.size, dtype=np.float32).reshape(spec.shape)

    return Deferred(SPECS, make)


def test_nothing_is_made_before_it_is_asked_for_and_then_nothing_else(deferred, made):
    parameters = Parameters(SPECS, deferred)
    assert list(parameters) == ["a", "b"]
    assert parameters.num_elements == 22
    assert (deferred.shape, deferred.dtype, deferred.size) == ((32,), np.float32, 32)  # rows of 16 elements
    assert deferred.nbytes == 128
    assert made == []
    assert np.array_equal(parameters["b"], np.arange(7))
    assert made == ["b"]


def test_what_is_made_belongs_to_whoever_asked(deferred, made):
    parameters = Parameters(SPECS, deferred)
    parameters["a"][...] = -1
    assert np.array_equal(parameters["a"], np.arange(15).reshape(3, 5))
    assert made == ["a", "a"]


def test_as_an_array_it_is_the_whole_buffer_with_zeros_between(deferred):
    expected = np.zeros(32)
    expected[:15], expected[16:23] = np.arange(15), np.arange(7)
    assert np.array_equal(np.asarray(deferred), expected)
    assert np.array(deferred, dtype=np.float64).dtype == np.float64
    copied = Parameters(SPECS, deferred).copy()
    assert np.array_equal(copied.flat, expected)
    assert np.array_equal(Parameters(SPECS, deferred).astype(np.float64).flat, expected)
    target = np.empty(32)
    target[...] = deferred
    assert np.array_equal(target, expected)


def test_only_whole_parameters_can_be_asked_for(deferred):
    for span in (slice(0, 14), slice(1, 15), slice(0, 15, 2), slice(15, 16)):
        with pytest.raises(IndexError, match="not the span of a parameter"):
            deferred[span]
    with pytest.raises(ValueError, match="without a copy"):
        np.array(deferred, copy=False)


@pytest.mark.parametrize("init", ["gpt2", "xavier", "kaiming"])
def test_a_deferred_decoder_has_the_parameters_of_one_that_is_initialised(init):
    config = MODEL.model_copy(update={"init": init})
    now, later = Decoder.initialise(config, seed=3), Decoder.deferred(config, seed=3)
    for name, array in now.parameters.items():
        assert np.array_equal(later.parameters[name], array)
    assert np.array_equal(np.asarray(later.parameters.flat), now.parameters.flat)
