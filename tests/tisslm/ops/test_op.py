"""The op contract: what an op runs on, and that every op is registered, exported and proved."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.engine import Tape, Variable
from quanta_tissu.tisslm.ops import REGISTRY, op

HELPERS = {"op", "random", "broadcasting"}
MODULES = {m.name for m in pkgutil.iter_modules(ops.__path__) if not m.ispkg} - HELPERS


def test_every_module_holds_one_op_of_its_name_and_the_package_exports_it():
    assert set(REGISTRY) == MODULES
    for name, registered in REGISTRY.items():
        assert registered.name == name
        assert getattr(ops, name) is registered
        assert name in ops.__all__


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_op_derives_its_gradient_and_cites_its_source(name):
    module = importlib.import_module(f"quanta_tissu.tisslm.ops.{name}")
    assert "ifferentiate" in module.backward.__doc__
    assert module.forward.__doc__
    assert REGISTRY[name].source
    labels = [sample.label for sample in REGISTRY[name].samples(np.random.default_rng(0))]
    assert len(labels) == len(set(labels))
    assert any(not sample.large for sample in REGISTRY[name].samples(np.random.default_rng(0)))


def test_a_name_can_be_registered_once():
    with pytest.raises(ValueError, match="'linear' is already registered"):
        op.define(
            "linear",
            forward=lambda x: (x, None),
            backward=lambda saved, dy: (dy,),
            torch_twin=lambda x: x,
            samples=lambda rng: iter(()),
            source="",
        )


def test_every_fast_twin_belongs_to_an_op():
    kernels = importlib.import_module("quanta_tissu.tisslm.ops.kernels")
    twins = {
        m.name
        for m in pkgutil.iter_modules(kernels.__path__)
        if hasattr(importlib.import_module(f"{kernels.__name__}.{m.name}"), "backward")
    }
    assert twins <= set(REGISTRY)
    assert all(REGISTRY[name].fast_twin() is not None for name in twins)
    assert all(REGISTRY[name].fast_twin() is None for name in set(REGISTRY) - twins)


def test_the_value_alone_is_computed_only_where_nothing_is_recorded(monkeypatch):
    """Were backward to need something costly, inference would not pay for it."""
    calls = []

    def forward(x):
        calls.append("forward")
        return 2 * x, None

    def value(x):
        calls.append("value")
        return 2 * x

    monkeypatch.setattr(op, "REGISTRY", {})
    double = op.define(
        "double",
        forward=forward,
        backward=lambda saved, dy: (2 * dy,),
        value=value,
        torch_twin=lambda x: 2 * x,
        samples=lambda rng: iter(()),
        source="",
    )
    x = np.ones(2)
    assert double(x).tolist() == [2, 2]
    assert double(Tape().variable(x)).value.tolist() == [2, 2]
    assert calls == ["value", "forward"]


class TestWhatAnOpRunsOn:
    def test_arrays_give_an_array(self):
        assert isinstance(ops.tanh(np.zeros(2)), np.ndarray)

    def test_variables_give_a_variable_wherever_they_stand(self):
        tape = Tape()
        x, constant = tape.variable(np.ones(2)), np.ones(2)
        assert isinstance(ops.add(x, constant), Variable)
        assert isinstance(ops.add(constant, x), Variable)

    def test_several_outputs_are_a_tuple(self):
        first, second = ops.split(np.arange(4.0), sizes=(1, 3))
        np.testing.assert_array_equal(first, [0])
        np.testing.assert_array_equal(second, [1, 2, 3])

    @pytest.mark.torch
    def test_tensors_give_a_tensor_and_arrays_among_them_are_constants(self, torch):
        x = torch.ones(2, dtype=torch.float64, requires_grad=True)
        for y in (ops.multiply(x, np.array([2.0, 3.0])), ops.multiply(np.array([2.0, 3.0]), x)):
            assert isinstance(y, torch.Tensor)
            assert torch.autograd.grad(y.sum(), x)[0].tolist() == [2, 3]

    @pytest.mark.torch
    def test_constants_take_the_tensors_precision(self, torch):
        y = ops.multiply(torch.ones(2, dtype=torch.float32), np.array([2.0, 3.0]))
        assert y.dtype == torch.float32
