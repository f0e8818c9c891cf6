from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.train.optimizers import AdamW, Group, Matrix, Muon
from quanta_tissu.tisslm.train.optimizers.muon import orthogonalise

SHAPES = [(6, 4), (4, 6), (5, 5), (9, 3), (3, 8)]


@pytest.mark.torch
@pytest.mark.parametrize(("nesterov", "steps"), [(True, 5), (False, 5), (True, 3)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-4)])
def test_equals_torch(torch, monkeypatch, nesterov, steps, dtype, tolerance):
    # PyTorch iterates in bfloat16; left in the type of the gradient the two can be compared exactly.
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    rng = np.random.default_rng(0)
    sizes = [a * b for a, b in SHAPES]
    offsets = np.cumsum([0, *sizes])
    flat = rng.normal(size=offsets[-1]).astype(dtype)
    matrices = [Matrix(int(o), *shape, 0.5, 0.1) for o, shape in zip(offsets[:-1], SHAPES, strict=True)]
    tensors = [torch.tensor(m.view(flat).copy(), requires_grad=True) for m in matrices]
    shared = {"momentum": 0.9, "nesterov": nesterov}
    ours = Muon(
        flat, [], matrices, learning_rate=1.0, muon_learning_rate=0.04, newton_schulz_steps=steps, **shared
    )
    theirs = torch.optim.Muon(tensors, lr=0.02, weight_decay=0.1, ns_steps=steps, **shared)
    for factor in (1.0, 0.5, 0.25, 1.0):
        gradient = rng.normal(size=flat.size).astype(dtype)
        for tensor, matrix in zip(tensors, matrices, strict=True):
            tensor.grad = torch.tensor(matrix.view(gradient).copy())
        theirs.param_groups[0]["lr"] = 0.02 * factor
        theirs.step()
        ours.step(gradient, factor=factor)
        for tensor, matrix in zip(tensors, matrices, strict=True):
            np.testing.assert_allclose(matrix.view(flat), tensor.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [*SHAPES, (32, 8)])
def test_orthogonalise_brings_singular_values_near_one_and_keeps_the_vectors(shape):
    matrix = np.random.default_rng(1).normal(size=shape) * 1e3
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    core = left.T @ orthogonalise(matrix) @ right.T
    diagonal = np.diag(core)
    np.testing.assert_allclose(core - np.diag(diagonal), 0, atol=1e-12)
    assert (diagonal > 0.6).all()
    assert (diagonal < 1.3).all()


@pytest.mark.parametrize("shape", [(8, 8), (8, 12), (6, 40), (40, 6)])
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_orthogonalise_applies_jordans_polynomial_to_the_singular_values(shape, steps):
    matrix = np.random.default_rng(5).normal(size=shape)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    expected = values / np.linalg.norm(values)
    for _ in range(steps):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    np.testing.assert_allclose(orthogonalise(matrix, steps), left * expected @ right, rtol=0, atol=1e-13)


def test_float32_suffices_for_nearly_singular_matrices():
    """The Gram matrix squares the singular values, and its rounding grows with every step."""
    rng = np.random.default_rng(6)
    left, _, right = np.linalg.svd(rng.normal(size=(64, 200)), full_matrices=False)
    matrix = (left * np.geomspace(1, 1e-6, 64)) @ right
    np.testing.assert_allclose(orthogonalise(matrix.astype(np.float32)), orthogonalise(matrix), rtol=0, atol=3e-4)


def test_orthogonalising_zero_gives_zero():
    assert not orthogonalise(np.zeros((3, 4), np.float32)).any()


def test_other_parameters_take_the_step_of_adamw(two_threads):
    rng = np.random.default_rng(2)
    start = rng.normal(size=100).astype(np.float32)
    groups, matrix = [Group(40, 100, 1.0, 0.1)], Matrix(0, 5, 8)
    a, b = start.copy(), start.copy()
    muon = Muon(a, groups, [matrix], learning_rate=0.01, betas=(0.9, 0.95), team=two_threads)
    adamw = AdamW(b, groups, learning_rate=0.01, betas=(0.9, 0.95))
    for gradient in rng.normal(size=(3, 100)).astype(np.float32):
        muon.step(gradient)
        adamw.step(gradient)
    assert np.array_equal(a[40:], b[40:])
    assert not np.allclose(a[:40], start[:40])


def test_threads_do_not_change_a_bit(two_threads):
    rng = np.random.default_rng(3)
    start = rng.normal(size=3 * 48).astype(np.float32)
    matrices = [Matrix(0, 8, 6), Matrix(48, 6, 8), Matrix(96, 12, 4)]
    results = []
    for team in (None, two_threads):
        flat = start.copy()
        optimizer = Muon(flat, [], matrices, learning_rate=0.1, team=team)
        for gradient in np.random.default_rng(4).normal(size=(3, flat.size)).astype(np.float32):
            optimizer.step(gradient)
        results.append(flat)
    assert np.array_equal(*results)
