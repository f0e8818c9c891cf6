from __future__ import annotations

import pytest

from quanta_tissu.tisslm.train.optimizers import RMSProp


@pytest.mark.torch
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_equals_torch(torch, check_against_torch, momentum, dtype, tolerance):
    check_against_torch(
        lambda p, groups, **kw: RMSProp(p, groups, alpha=0.95, eps=1e-6, momentum=momentum, **kw),
        lambda groups: torch.optim.RMSprop(groups, alpha=0.95, eps=1e-6, momentum=momentum),
        0.01,
        dtype,
        tolerance,
    )
