from __future__ import annotations

import numpy as np

from quanta_tissu.tisslm.train.optimizers import Group, Lion


def test_equals_a_run_worked_out_by_hand():
    """β = (0.9, 0.99), η = 0.1, λ = 0.5; three steps, one element at a time.

    Element 0, g = 1, -0.05, -2:
      t=1: c = 0.1·1 = 0.1 > 0:                             θ = 2 - 0.1 (1 + 0.5·2) = 1.8; m = 0.01·1 = 0.01
      t=2: c = 0.9·0.01 - 0.1·0.05 = 0.004 > 0:             θ = 1.8 - 0.1 (1 + 0.9) = 1.61; m = 0.0099 - 0.0005
      t=3: c = 0.9·0.0094 - 0.2 < 0:                        θ = 1.61 - 0.1 (-1 + 0.805) = 1.6295
           m = 0.99·0.0094 - 0.02 = -0.010694
    Element 1, g = 0 throughout: only the decay acts, θ = -1·0.95³ = -0.857375; m = 0.
    """
    parameters = np.array([2.0, -1.0])
    optimizer = Lion(parameters, [Group(0, 2, 1.0, 0.5)], learning_rate=0.1, betas=(0.9, 0.99))
    expected = [(1.8, -0.95), (1.61, -0.9025), (1.6295, -0.857375)]
    for gradient, after in zip([1.0, -0.05, -2.0], expected, strict=True):
        optimizer.step(np.array([gradient, 0.0]))
        np.testing.assert_allclose(parameters, after, rtol=1e-14)
    np.testing.assert_allclose(optimizer.state["momentum"], [-0.010694, 0.0], rtol=1e-12)


def test_every_element_moves_by_the_learning_rate():
    parameters = np.zeros(4, np.float32)
    Lion(parameters, [Group(0, 4)], learning_rate=0.25).step(np.array([1e-6, -3, 0, 1e6], np.float32), factor=0.5)
    assert parameters.tolist() == [-0.125, 0.125, 0.0, -0.125]
