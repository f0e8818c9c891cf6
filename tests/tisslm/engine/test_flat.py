"""Flat-buffer arithmetic: both engines, against definitions written out element by element."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.engine import flat

SIZES = [0, 1, 7, 1000, 100_003]  # around a vector register, and over one chunk of the norm


@pytest.fixture(params=["reference", "fast"], autouse=True)
def _each_engine(request):
    with engine.use(request.param):
        yield


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_sum_into_adds_in_place(size, dtype):
    rng = np.random.default_rng(size)
    total, part = rng.normal(size=(2, size)).astype(dtype)
    expected = total + part
    squared_norm = flat.sum_into(total, part)
    np.testing.assert_array_equal(total, expected)
    assert squared_norm == pytest.approx(flat.squared_norm(expected), rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_squared_norm_is_exact_to_double_precision(size, dtype):
    x = np.random.default_rng(size).normal(size=size).astype(dtype)
    assert flat.squared_norm(x) == pytest.approx(math.fsum(float(value) ** 2 for value in x), rel=1e-13)


def test_squared_norm_does_not_overflow_float32():
    assert flat.squared_norm(np.full(10, 1e30, np.float32)) == pytest.approx(1e61, rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_squared_norm_shows_a_diverged_gradient(bad):
    x = np.ones(1000, np.float32)
    x[700] = bad
    assert not math.isfinite(flat.squared_norm(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adamw_follows_the_paper_over_several_steps(dtype):
    rng = np.random.default_rng(0)
    lr, beta1, beta2, eps, decay, scale = 0.01, 0.9, 0.99, 1e-8, 0.1, 0.5
    param = rng.normal(size=33).astype(dtype)
    m, v = np.zeros_like(param), np.zeros_like(param)
    exact = [(float(theta), 0.0, 0.0) for theta in param]
    for step in range(1, 6):
        grad = rng.normal(size=33).astype(dtype)
        untouched = grad.copy()
        flat.adamw_step(
            param, grad, m, v, lr=lr, beta1=beta1, beta2=beta2, eps=eps, decay=decay, step=step, grad_scale=scale
        )
        np.testing.assert_array_equal(grad, untouched)
        for i, (theta, first, second) in enumerate(exact):
            g = float(grad[i]) * scale
            first = beta1 * first + (1 - beta1) * g
            second = beta2 * second + (1 - beta2) * g * g
            theta = theta * (1 - lr * decay)
            theta -= lr * (first / (1 - beta1**step)) / (math.sqrt(second / (1 - beta2**step)) + eps)
            exact[i] = (theta, first, second)
    for got, column in zip((param, m, v), zip(*exact, strict=True), strict=True):
        # Where terms cancel, rounding is relative to the terms, so the largest element is the measure.
        error = np.max(np.abs(got - np.array(column))) / np.max(np.abs(column))
        assert error < 4 * np.finfo(dtype).eps


@pytest.mark.torch
def test_adamw_equals_pytorch(torch):
    rng = np.random.default_rng(1)
    param = rng.normal(size=100)
    theirs = torch.nn.Parameter(torch.tensor(param))
    optimizer = torch.optim.AdamW([theirs], lr=3e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.2)
    m, v = np.zeros_like(param), np.zeros_like(param)
    for step in range(1, 11):
        grad = rng.normal(size=100)
        theirs.grad = torch.tensor(grad)
        optimizer.step()
        flat.adamw_step(param, grad, m, v, lr=3e-3, beta1=0.9, beta2=0.95, eps=1e-8, decay=0.2, step=step)
    np.testing.assert_allclose(param, theirs.detach().numpy(), rtol=1e-12)


def test_element_wise_functions_may_be_split_into_slices():
    rng = np.random.default_rng(2)
    param, grad, m, v = (np.abs(rng.normal(size=(4, 1001))) + 0.1).astype(np.float32)
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "decay": 0.1, "step": 3}
    whole = [x.copy() for x in (param, grad, m, v)]
    flat.adamw_step(*whole, **settings)
    for part in (slice(0, 400), slice(400, 1001)):
        flat.adamw_step(param[part], grad[part], m[part], v[part], **settings)
    for split, at_once in zip((param, m, v), (whole[0], whole[2], whole[3]), strict=True):
        np.testing.assert_array_equal(split, at_once)
