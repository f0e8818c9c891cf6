"""Every optimizer on torch tensors follows its NumPy counterpart, and takes over its state."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm.config import OptimizerConfig
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.train.ema import WeightAverage
from quanta_tissu.tisslm.train.optimizers import grouped, make_optimizer

pytestmark = pytest.mark.torch

NAMES = ["adamw", "adam", "sgd", "rmsprop", "lion", "muon"]
RULE = {"learning_rate": 0.01, "weight_decay": 0.1, "layer_decay": 0.8, "muon_learning_rate": 0.02}
FROZEN = {"learning_rate_scales": {"*.layers.0.*": 0.0}}


def pair(config, name, **settings):
    """The same optimizer on NumPy and on torch, over equal weights."""
    import torch

    from quanta_tissu.tisslm.train.pytorch.optimizers import OPTIMIZERS
    from quanta_tissu.tisslm.train.pytorch.weights import FlatWeights

    rule = OptimizerConfig(name=name, **{**RULE, **settings})
    ours, theirs = (Decoder.initialise(config().model, 1) for _ in range(2))
    weights = FlatWeights(theirs, *grouped(rule, theirs.parameters), torch.device("cpu"))
    return ours, make_optimizer(rule, ours.parameters), theirs, OPTIMIZERS[name](rule, weights)


def gradients(decoder, number):
    rng = np.random.default_rng(number)
    made = decoder.parameters.like()
    for name in made:
        made[name][...] = rng.normal(size=made[name].shape) * 0.1
    return made.flat


def torch_step(optimizer, flat, **settings):
    parts = [p.value.new_zeros(p.value.shape) for p in optimizer.weights.pieces]
    optimizer.weights.from_host(optimizer.weights.decoder.parameters.like(flat), parts)
    optimizer.step(parts, **settings)


@pytest.mark.parametrize(
    "settings", [{}, FROZEN, {"momentum": 0.0, "nesterov": False}], ids=["", "frozen", "plain"]
)
@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_numpy(config, name, settings):
    ours, mine, theirs, optimizer = pair(config, name, **settings)
    start = ours.parameters.flat.copy()
    for number in range(5):
        flat = gradients(ours, number)
        mine.step(flat, factor=1 / (1 + number), gradient_scale=0.5)
        torch_step(optimizer, flat, factor=1 / (1 + number), gradient_scale=0.5)
    np.testing.assert_allclose(
        theirs.parameters.flat - start,
        ours.parameters.flat - start,
        rtol=2e-4,
        atol=1e-6 if name != "muon" else 2e-5,
    )
    assert optimizer.steps == mine.steps == 5


@pytest.mark.parametrize("name", NAMES)
def test_state_crosses_between_the_engines_both_ways(config, name):
    ours, mine, _, optimizer = pair(config, name)
    for number in range(3):
        mine.step(gradients(ours, number))
        torch_step(optimizer, gradients(ours, number))
    state, back = optimizer.state_dict(), mine.state_dict()
    for buffer, values in back.items():
        np.testing.assert_allclose(state[buffer], values, rtol=1e-4, atol=1e-6 * np.abs(values).max())
    _, numpy_next, _, torch_next = pair(config, name)
    numpy_next.load_state_dict(state, 3)
    torch_next.load_state_dict(back, 3)
    assert all(np.array_equal(torch_next.state_dict()[buffer], back[buffer]) for buffer in back)
    torch_next.weights.from_host(ours.parameters, torch_next.weights.values)
    mine.step(gradients(ours, 9))
    torch_step(torch_next, gradients(ours, 9))
    np.testing.assert_allclose(
        torch_next.weights.decoder.parameters.flat, ours.parameters.flat, rtol=1e-4, atol=1e-5
    )


def test_the_state_of_another_optimizer_or_architecture_is_refused(config):
    _, _, _, optimizer = pair(config, "adamw")
    flat = np.zeros_like(optimizer.weights.decoder.parameters.flat)
    with pytest.raises(CheckpointError, match="momentum"):
        optimizer.load_state_dict({"momentum": flat}, 1)
    with pytest.raises(CheckpointError, match="elements"):
        optimizer.load_state_dict({"first_moment": flat, "second_moment": flat[:16]}, 1)


def test_the_average_is_that_of_numpy(config):
    from quanta_tissu.tisslm.train.pytorch.optimizers import TorchAverage

    ours, mine, _, optimizer = pair(config, "adamw")
    expected, found = WeightAverage(ours.parameters.flat, 0.9), TorchAverage(optimizer.weights, 0.9)
    for number in range(4):
        mine.step(gradients(ours, number))
        torch_step(optimizer, gradients(ours, number))
        expected.update()
        found.update()
    np.testing.assert_allclose(found.host(), expected.average, rtol=1e-4, atol=1e-6)
    assert found.updates == 4
