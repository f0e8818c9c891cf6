from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.train.optimizers import Adam, AdamW, Group


@pytest.mark.torch
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("name", ["AdamW", "Adam"])
@pytest.mark.usefixtures("engine")
def test_equals_torch(torch, check_against_torch, name, dtype, tolerance):
    ours = {"AdamW": AdamW, "Adam": Adam}[name]
    check_against_torch(
        lambda p, groups, **kw: ours(p, groups, betas=(0.8, 0.95), eps=1e-6, **kw),
        lambda groups: getattr(torch.optim, name)(groups, betas=(0.8, 0.95), eps=1e-6),
        0.01,
        dtype,
        tolerance,
    )


@pytest.mark.usefixtures("engine")
def test_the_first_step_moves_every_element_by_the_learning_rate():
    """With m̂ = g and v̂ = g², the step is η g / |g|, whatever the size of the gradient."""
    parameters = np.zeros(3)
    AdamW(parameters, [Group(0, 3)], learning_rate=0.5, eps=1e-12).step(np.array([1e-3, -4.0, 50.0]))
    np.testing.assert_allclose(parameters, [-0.5, 0.5, -0.5], rtol=1e-8)


def test_without_decay_adam_and_adamw_are_the_same():
    a, b = np.ones(5), np.ones(5)
    first, second = (kind(p, [Group(0, 5)], learning_rate=0.1) for kind, p in ((Adam, a), (AdamW, b)))
    for gradient in np.random.default_rng(0).normal(size=(3, 5)):
        first.step(gradient)
        second.step(gradient)
    assert np.array_equal(a, b)
