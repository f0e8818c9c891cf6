from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.train.optimizers import Group

SIZE, STEPS = 50, 12
# A varying schedule and groups that differ in rate and decay, so that nothing is proved on constants alone.
FACTORS = [1.0, 0.5, 0.25, 1.0, 0.1, 0.9, 0.3, 0.7, 1.0, 0.2, 0.6, 0.05]
GROUPS = [Group(0, 20, 1.0, 0.1), Group(20, 35, 0.5, 0.0), Group(35, 50, 2.0, 0.3)]


@pytest.fixture(params=["reference", "fast"])
def engine(request):
    from quanta_tissu.tisslm import engine

    with engine.use(request.param):
        yield request.param


@pytest.fixture
def two_threads():
    with ThreadTeam(2) as team:
        yield team


@pytest.fixture
def gradients():
    """Gradients over several orders of magnitude, some exactly zero."""
    rng = np.random.default_rng(3)
    g = rng.normal(size=(STEPS, SIZE)) * 10.0 ** rng.integers(-4, 2, size=(STEPS, SIZE))
    g[:, 7] = 0
    return g


@pytest.fixture
def start():
    return np.random.default_rng(4).normal(size=SIZE)


@pytest.fixture
def check_against_torch(torch, gradients, start):
    """Run both optimizers side by side and compare parameters after every step."""

    def check(make_ours, make_theirs, learning_rate, dtype, tolerance, decay=True):
        groups = GROUPS if decay else [Group(g.start, g.stop, g.learning_rate_scale) for g in GROUPS]
        parameters = start.astype(dtype)
        ours = make_ours(parameters, groups, learning_rate=learning_rate)
        pieces = [torch.tensor(start[g.start : g.stop].astype(dtype), requires_grad=True) for g in groups]
        theirs = make_theirs(
            [{"params": [p], "weight_decay": g.weight_decay} for p, g in zip(pieces, groups, strict=True)]
        )
        for factor, gradient in zip(FACTORS, gradients.astype(dtype), strict=True):
            for piece, group, options in zip(pieces, groups, theirs.param_groups, strict=True):
                options["lr"] = learning_rate * factor * group.learning_rate_scale
                piece.grad = torch.tensor(gradient[group.start : group.stop])
            theirs.step()
            ours.step(gradient, factor=factor)
            expected = np.concatenate([p.detach().numpy() for p in pieces])
            # Relative to the size of the update's operands: a parameter may pass through zero.
            error = np.abs(parameters - expected) / np.maximum(np.abs(expected), learning_rate)
            assert error.max() < tolerance
        assert not np.allclose(parameters, start, rtol=1e-3)

    return check
