"""Attention: who sees whom, and that nothing else matters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslm import engine, ops
from quanta_tissu.tisslm.ops.attention import attention_weights, visible
from quanta_tissu.tisslm.ops.random import keep_mask

RNG = np.random.default_rng(0)


def qkv(T, S, H=4, K=2, E=6, B=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, T, H, E)), rng.normal(size=(B, S, K, E)), rng.normal(size=(B, S, K, E))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)


def by_loops(q, k, v, *, window=None, key_mask=None, causal=True):
    """The definition, one query at a time."""
    (B, T, H, E), (S, K) = q.shape, k.shape[1:3]
    y = np.zeros_like(q)
    for b, i, h in np.ndindex(B, T, H):
        position, group = S - T + i, h // (H // K)
        seen = [
            j
            for j in range(S)
            if (not causal or j <= position)
            and (window is None or j > position - window)
            and (key_mask is None or key_mask[b, j])
        ]
        if seen:
            weights = np.exp([q[b, i, h] @ k[b, j, group] / np.sqrt(E) for j in seen])
            y[b, i, h] = weights / weights.sum() @ v[b, seen, group]
    return y


@given(
    T=st.integers(1, 6),
    cached=st.integers(0, 4),
    heads=st.sampled_from([(1, 1), (2, 1), (4, 2), (3, 3), (6, 2)]),
    window=st.none() | st.integers(1, 7),
    causal=st.booleans(),
    mask_seed=st.none() | st.integers(0, 100),
    engine_name=st.sampled_from(["reference", "fast"]),
)
@settings(max_examples=100, deadline=None)
def test_attention_is_its_definition(T, cached, heads, window, causal, mask_seed, engine_name):
    S, (H, K) = T + cached, heads
    q, k, v = qkv(T, S, H, K)
    key_mask = None if mask_seed is None else np.random.default_rng(mask_seed).random((2, S)) < 0.6
    attributes = {"window": window, "key_mask": key_mask, "causal": causal}
    with engine.use(engine_name):
        close(ops.attention(q, k, v, **attributes), by_loops(q, k, v, **attributes))


def test_the_future_does_not_change_the_past(each_engine):
    q, k, v = qkv(6, 6)
    before = ops.attention(q, k, v)
    for changed in (q, k, v):
        changed[:, 4:] += 1
    after = ops.attention(q, k, v)
    np.testing.assert_array_equal(after[:, :4], before[:, :4])
    assert np.abs(after[:, 4:] - before[:, 4:]).min() > 0


def test_what_the_window_and_the_mask_hide_does_not_matter(each_engine):
    q, k, v = qkv(6, 6)
    key_mask = np.ones((2, 6), bool)
    key_mask[0, 3] = False
    before = ops.attention(q, k, v, window=2, key_mask=key_mask)
    k[0, 3], v[0, 3] = 1e3, -1e3  # hidden by the mask
    k[:, 0], v[:, 0] = 1e3, -1e3  # outside the window from the third query on
    after = ops.attention(q, k, v, window=2, key_mask=key_mask)
    np.testing.assert_array_equal(after[:, 2:], before[:, 2:])
    assert np.abs(after[1, :2] - before[1, :2]).min() > 0


def test_a_grouped_head_is_a_head_with_its_own_copy_of_the_keys(each_engine):
    q, k, v = qkv(5, 5, H=6, K=2)
    copied = (np.repeat(x, 3, axis=2) for x in (k, v))
    close(ops.attention(q, k, v), ops.attention(q, *copied))


def test_the_last_queries_of_a_sequence_are_as_in_the_whole_sequence(each_engine):
    """Which is what a key-value cache relies on."""
    q, k, v = qkv(7, 7)
    close(ops.attention(q[:, -3:], k, v, window=4), ops.attention(q, k, v, window=4)[:, -3:])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_see_nothing_give_zeros_and_zero_gradients(each_engine, dtype):
    q, k, v = (x.astype(dtype) for x in qkv(4, 4))
    key_mask = np.array([[False, False, True, True], [False] * 4])
    implementation = engine.current().implementation(ops.attention)
    y, saved = implementation.forward(q, k, v, key_mask=key_mask)
    assert not y[0, :2].any()
    assert not y[1].any()
    assert np.abs(y[0, 2:]).min() > 0
    dq, dk, dv = implementation.backward(saved, np.ones_like(y))
    assert not dq[0, :2].any()
    for d in (dq, dk, dv):
        assert not d[1].any()
        assert np.isfinite(d).all()


def test_more_queries_than_keys_leaves_the_first_ones_without_any(each_engine):
    q, k, v = qkv(5, 2)
    y = ops.attention(q, k, v)
    assert not y[:, :3].any()
    close(y[:, 3:], ops.attention(q[:, 3:], k, v))


def test_scores_of_thousands_do_not_overflow(each_engine):
    q, k, v = (x.astype(np.float32) for x in qkv(4, 4))
    y = ops.attention(q * 1e3, k * 1e3, v)
    assert np.isfinite(y).all()
    chosen = attention_weights(q * 1e3, k * 1e3)
    np.testing.assert_allclose(chosen.max(axis=-1), 1, rtol=1e-6)


def test_a_key_may_be_hidden_by_a_score_that_is_not_a_number(each_engine):
    """What masks hide is never looked at: garbage in a cache's unused rows stays there."""
    q, k, v = qkv(3, 5, B=1)
    key_mask = np.array([[False, True, True, True, True]])
    expected = ops.attention(q, k, v, key_mask=key_mask)
    k[0, 0] = np.nan
    close(ops.attention(q, k, v, key_mask=key_mask), expected)


class TestWeights:
    def test_they_sum_to_one_and_give_the_output(self):
        q, k, v = qkv(4, 6)
        weights = attention_weights(q, k, window=3)
        assert weights.shape == (2, 4, 4, 6)
        close(weights.sum(axis=-1), np.ones((2, 4, 4)))
        per_head = np.repeat(v, 2, axis=2)
        close(np.einsum("bhts,bshe->bthe", weights, per_head), ops.attention(q, k, v, window=3))

    def test_scale_is_one_over_the_root_of_the_width_unless_given(self):
        q, k, _ = qkv(4, 4, E=6)
        close(attention_weights(q, k), attention_weights(q, k, scale=6**-0.5))
        close(attention_weights(q, k, scale=0.0)[0, 0, 2], [1 / 3, 1 / 3, 1 / 3, 0])

    def test_equal_scores_give_a_running_mean_of_the_values(self, each_engine):
        _, k, v = qkv(5, 5, H=2, K=2)
        y = ops.attention(np.zeros_like(k), k, v)
        close(y, v.cumsum(axis=1) / np.arange(1, 6)[:, None, None])


class TestDropout:
    def test_it_drops_weights_by_the_shared_mask(self, each_engine):
        q, k, v = qkv(4, 4)
        weights = attention_weights(q, k) * keep_mask((2, 4, 4, 4), 0.5, (3, 1)) / 0.5
        expected = np.einsum("bhts,bshe->bthe", weights, np.repeat(v, 2, axis=2))
        close(ops.attention(q, k, v, dropout=0.5, seed=(3, 1)), expected)

    def test_it_needs_a_seed(self, each_engine):
        with pytest.raises(ValueError, match="seed"):
            ops.attention(*qkv(2, 2), dropout=0.5)

    @pytest.mark.torch
    @pytest.mark.parametrize("window", [None, 2])
    def test_without_a_seed_torch_draws_the_mask_with_its_own_generator(self, torch, window):
        """What is drawn differs from call to call, and its mean is what is computed without dropout."""
        inputs = [torch.tensor(x) for x in qkv(3, 3)]
        torch.manual_seed(0)
        drawn = torch.stack([ops.attention(*inputs, window=window, dropout=0.5) for _ in range(4000)])
        assert not torch.equal(drawn[0], drawn[1])
        expected = ops.attention(*inputs, window=window)
        error = (drawn.mean(dim=0) - expected).abs() / (drawn.std(dim=0) / 4000**0.5 + 1e-12)
        assert error.max() < 6


def test_visible_keys():
    square = visible(4, 4, causal=True, window=2).astype(int)
    assert square.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    cached = visible(2, 4, causal=True, window=None).astype(int)
    assert cached.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    both_ways = visible(3, 3, causal=False, window=2).astype(int)
    assert both_ways.tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 1]]
