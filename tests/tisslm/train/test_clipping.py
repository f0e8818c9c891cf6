from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.engine import flat
from quanta_tissu.tisslm.train.clipping import clip_by_value, norm_scale


def test_clip_by_value():
    gradients = np.array([-3.0, -0.5, 0.0, 0.25, 9.0])
    clip_by_value(gradients, 0.5)
    assert gradients.tolist() == [-0.5, -0.5, 0.0, 0.25, 0.5]


def test_small_gradients_are_left_alone():
    assert norm_scale(0.99, 1.0) == 1.0
    assert norm_scale(0.0, 1.0) == 1.0


@pytest.mark.torch
@pytest.mark.parametrize("size", [0.01, 1.0, 300.0])
def test_equals_torch(torch, size):
    gradients = np.random.default_rng(0).normal(size=1000) * size
    parameter = torch.zeros(1000, dtype=torch.float64, requires_grad=True)
    parameter.grad = torch.tensor(gradients)
    norm = torch.nn.utils.clip_grad_norm_([parameter], 1.5)
    ours = float(np.sqrt(flat.squared_norm(gradients)))
    assert ours == pytest.approx(float(norm), rel=1e-12)
    np.testing.assert_allclose(gradients * norm_scale(ours, 1.5), parameter.grad.numpy(), rtol=1e-12)
