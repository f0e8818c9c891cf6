"""Cross-entropy: exact values, extreme logits, ignored rows, refused targets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.engine import Tape


def some(seed=0, rows=6, width=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, width)) * 3, rng.integers(0, width, rows)


def gradient(logits, **attributes):
    tape = Tape()
    variable = tape.variable(logits)
    tape.backward(ops.cross_entropy(variable, **attributes))
    return variable.grad


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def test_knowing_nothing_costs_ln_v(each_engine):
    loss = ops.cross_entropy(np.zeros((2, 3, 65)), targets=np.arange(6).reshape(2, 3))
    assert loss == pytest.approx(math.log(65), rel=1e-14)


def test_it_is_the_mean_of_minus_log_p(each_engine):
    logits, targets = some()
    expected = -log_softmax(logits)[range(6), targets].mean()
    assert ops.cross_entropy(logits, targets=targets) == pytest.approx(expected, rel=1e-14)


def test_each_term_is_what_it_says(each_engine):
    logits, targets = some()
    log_p, lse = log_softmax(logits), np.log(np.exp(logits).sum(axis=-1))
    hard, uniform = -log_p[range(6), targets], -log_p.mean(axis=-1)
    loss = ops.cross_entropy(logits, targets=targets, label_smoothing=0.2, z_loss=0.3, denominator=11.0)
    assert loss == pytest.approx(np.sum(0.8 * hard + 0.2 * uniform + 0.3 * lse**2) / 11, rel=1e-13)


def test_ignored_rows_count_for_nothing(each_engine):
    logits, targets = some()
    masked = np.where(np.arange(6) < 2, -100, targets)
    options = {"label_smoothing": 0.1, "z_loss": 0.1}
    expected = ops.cross_entropy(logits[2:], targets=targets[2:], **options)
    assert ops.cross_entropy(logits, targets=masked, **options) == pytest.approx(float(expected), rel=1e-14)
    d = gradient(logits, targets=masked, **options)
    assert not d[:2].any()
    np.testing.assert_allclose(d[2:], gradient(logits[2:], targets=targets[2:], **options), rtol=1e-13)


def test_ignored_rows_may_hold_anything(each_engine):
    logits, targets = some()
    targets[0] = -100
    expected, expected_d = ops.cross_entropy(logits, targets=targets), gradient(logits, targets=targets)
    logits[0] = np.nan
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(ops.cross_entropy(logits, targets=targets), expected)
        np.testing.assert_array_equal(gradient(logits, targets=targets), expected_d)


def test_nothing_to_predict_costs_nothing(each_engine):
    logits, _ = some()
    targets = np.full(6, -100)
    assert ops.cross_entropy(logits, targets=targets) == 0
    assert not gradient(logits, targets=targets).any()


def test_shares_of_a_batch_add_up_to_its_loss(each_engine):
    """Replicas and micro-batches divide by the tokens of the whole batch."""
    logits, targets = some()
    whole = ops.cross_entropy(logits, targets=targets)
    shares = [ops.cross_entropy(logits[s], targets=targets[s], denominator=6) for s in (slice(2), slice(2, 6))]
    assert sum(shares) == pytest.approx(float(whole), rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_logits_of_ten_thousand_are_as_good_as_any(each_engine, dtype, offset):
    """Quarters are exact at that size, so that only the op could lose precision."""
    logits = np.round(some()[0] * 4).astype(dtype) / 4
    targets = some()[1]
    shifted = (logits + dtype(offset)).astype(dtype)
    np.testing.assert_array_equal(shifted - dtype(offset), logits)
    tight = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        ops.cross_entropy(shifted, targets=targets), ops.cross_entropy(logits, targets=targets), rtol=tight
    )
    np.testing.assert_allclose(
        gradient(shifted, targets=targets), gradient(logits, targets=targets), rtol=tight, atol=tight
    )


def test_a_banned_token_has_no_probability_and_no_gradient(each_engine):
    logits, targets = some()
    targets[:] = 1
    logits[:, 3] = -np.inf
    others = [0, 1, 2, 4]
    loss = ops.cross_entropy(logits, targets=targets)
    assert loss == pytest.approx(float(ops.cross_entropy(logits[:, others], targets=targets)), rel=1e-14)
    d = gradient(logits, targets=targets)
    assert not d[:, 3].any()
    np.testing.assert_allclose(d[:, others], gradient(logits[:, others], targets=targets), rtol=1e-13)


def test_a_banned_target_costs_infinitely_much(each_engine):
    logits, targets = some()
    logits[0, targets[0]] = -np.inf
    assert ops.cross_entropy(logits, targets=targets) == np.inf


@pytest.mark.parametrize("wrong", [-1, 5, 70])
def test_targets_outside_the_vocabulary_are_refused(each_engine, wrong):
    logits, targets = some()
    targets[2] = wrong
    with pytest.raises(DataError, match=f"target {wrong} is neither a token of the vocabulary of 5 nor -100"):
        ops.cross_entropy(logits, targets=targets)


def test_the_gradient_sums_to_zero_over_the_vocabulary(each_engine):
    """Raising all logits alike changes nothing (without z-loss)."""
    logits, targets = some()
    d = gradient(logits, targets=targets, label_smoothing=0.1)
    np.testing.assert_allclose(d.sum(axis=-1), 0, atol=1e-16)
