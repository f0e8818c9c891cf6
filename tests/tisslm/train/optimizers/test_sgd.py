from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.train.optimizers import SGD, Group


@pytest.mark.torch
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_equals_torch(torch, check_against_torch, momentum, nesterov, dtype, tolerance):
    check_against_torch(
        lambda p, groups, **kw: SGD(p, groups, momentum=momentum, nesterov=nesterov, **kw),
        lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=momentum, nesterov=nesterov),
        0.01,
        dtype,
        tolerance,
    )


def test_nesterov_without_momentum_is_plain_descent():
    parameters = np.ones(2)
    SGD(parameters, [Group(0, 2)], learning_rate=0.5, momentum=0.0, nesterov=True).step(np.array([1.0, -2.0]))
    assert parameters.tolist() == [0.5, 2.0]
