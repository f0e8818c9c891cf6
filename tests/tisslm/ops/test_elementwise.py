"""Small ops: identities, tails, extremes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm import engine, ops
from quanta_tissu.tisslm.engine import Tape
from quanta_tissu.tisslm.ops.broadcasting import sum_to_shape

finite = st.floats(-50, 50, allow_subnormal=False)
rows = arrays.arrays(np.float64, arrays.array_shapes(min_dims=1, max_dims=3, max_side=5), elements=finite)
engines = st.sampled_from(["reference", "fast"])


@given(x=rows, engine_name=engines)
@settings(deadline=None)
def test_softmax_is_a_distribution_and_does_not_see_a_shift(x, engine_name):
    with engine.use(engine_name):
        y = ops.softmax(x)
        assert (y >= 0).all()
        np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-14)
        np.testing.assert_allclose(ops.softmax(x + 7.0), y, rtol=1e-12)


def test_softmax_gives_a_banned_token_nothing(each_engine):
    assert ops.softmax(np.array([0.0, -np.inf, 0.0])).tolist() == [0.5, 0, 0.5]


@given(x=rows, engine_name=engines)
@settings(deadline=None)
def test_activations_by_their_identities(x, engine_name):
    """f(x) - f(-x) = x for all that weigh x by a symmetric distribution function; ReLU is their limit."""
    with engine.use(engine_name):
        for activation in (ops.gelu, ops.gelu_tanh, ops.silu, ops.relu):
            np.testing.assert_allclose(activation(x) - activation(-x), x, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu"])
def test_activations_are_silent_at_extremes(each_engine, name, dtype):
    """No overflow, no NaN, nothing lost: zero on the far left, x on the far right, slopes 0 and 1."""
    x = np.array([-1e4, -1e3, 1e3, 1e4], dtype)
    tape = Tape()
    variable = tape.variable(x)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = getattr(ops, name)(variable)
        tape.backward(y)
    np.testing.assert_array_equal(y.value, [0, 0, *x[2:]])
    np.testing.assert_array_equal(variable.grad, [0, 0, 1, 1])


def test_gelu_at_published_points(each_engine):
    """x Φ(x) from tables of the normal distribution: Φ(1) = 0.841344746, Φ(-2) = 0.022750132."""
    y = ops.gelu(np.array([1.0, -2.0, 0.0]))
    np.testing.assert_allclose(y, [0.841344746068543, -0.0455002638963584, 0], rtol=1e-13)


def test_gelu_keeps_its_tail(each_engine):
    """Φ(-6) = 9.865876450377e-10 (Abramowitz & Stegun, table 26.1), where 1 + erf would have lost seven digits."""
    np.testing.assert_allclose(ops.gelu(np.array([-6.0])), [-6 * 9.865876450377e-10], rtol=1e-11)


def test_the_slope_of_relu_at_zero_is_zero(each_engine):
    tape = Tape()
    x = tape.variable(np.array([-1.0, 0.0, 2.0]))
    tape.backward(ops.relu(x))
    assert x.grad.tolist() == [0, 0, 1]


def test_swiglu_takes_the_gate_first(each_engine):
    gate, value = np.array([0.3, -2.0]), np.array([5.0, 7.0])
    np.testing.assert_allclose(ops.swiglu(np.concatenate([gate, value])), ops.silu(gate) * value, rtol=1e-15)


def test_norms_do_what_they_are_called_for(each_engine):
    x = np.random.default_rng(0).normal(3, 5, size=(4, 64))
    ones = np.ones(64)
    y = ops.layer_norm(x, ones, None, eps=1e-12)
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-14)
    np.testing.assert_allclose(y.std(axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose((ops.rms_norm(x, ones, eps=1e-12) ** 2).mean(axis=-1), 1, rtol=1e-12)


def test_layer_norm_far_from_zero_loses_no_precision(each_engine):
    """mean(x²) - mean(x)² would be off by percents here."""
    x = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32) + np.float32(1000)
    ones, zeros = np.ones(64, np.float32), np.zeros(64, np.float32)
    exact = (x.astype(float) - x.astype(float).mean(-1, keepdims=True)) / x.astype(float).std(-1, keepdims=True)
    np.testing.assert_allclose(ops.layer_norm(x, ones, zeros, eps=1e-12), exact, atol=3e-4)


def test_a_row_of_zeros_stays_zero(each_engine):
    zeros, ones = np.zeros((2, 4)), np.ones(4)
    assert not ops.rms_norm(zeros, ones, eps=1e-5).any()
    assert not ops.layer_norm(zeros, ones, None, eps=1e-5).any()


def test_dropout_keeps_the_mean_and_zero_means_none(each_engine):
    x = np.ones(100_000)
    y = ops.dropout(x, p=0.3, seed=(1,))
    assert set(np.unique(y)) == {0, 1 / 0.7}
    assert y.mean() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(ops.dropout(x, p=0.0, seed=(1,)), x)


def test_dropout_is_the_same_in_forward_and_backward(each_engine):
    tape = Tape()
    x = tape.variable(np.ones(1000))
    y = ops.dropout(x, p=0.5, seed=(4, 2))
    tape.backward(y)
    np.testing.assert_array_equal(x.grad, y.value)


def test_power_zero_is_constant_even_at_zero(each_engine):
    tape = Tape()
    x = tape.variable(np.array([0.0, 2.0]))
    y = ops.power(x, exponent=0)
    with np.errstate(all="raise"):
        tape.backward(y)
    assert y.value.tolist() == [1, 1]
    assert x.grad.tolist() == [0, 0]


@given(
    shapes=arrays.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4),
)
@settings(deadline=None)
def test_broadcasting_copies_and_its_adjoint_collects(shapes):
    """⟨broadcast(x), d⟩ = ⟨x, sum_to_shape(d)⟩ for all x and d."""
    rng = np.random.default_rng(0)
    x, d = rng.normal(size=shapes.input_shapes[0]), rng.normal(size=shapes.result_shape)
    collected = sum_to_shape(d, x.shape)
    assert collected.shape == x.shape
    np.testing.assert_allclose(
        np.sum(np.broadcast_to(x, d.shape) * d), np.sum(x * collected), rtol=1e-10, atol=1e-12
    )


class TestSplitAndReshape:
    def test_pieces_are_views(self, each_engine):
        x = np.arange(6.0).reshape(2, 3)
        assert all(np.shares_memory(piece, x) for piece in ops.split(x, sizes=(2, 1)))

    def test_gradients_that_lie_side_by_side_are_not_copied(self):
        """As attention leaves them. (The harness proves what becomes of gradients that do not.)"""
        whole = np.zeros((2, 3, 4))
        whole += np.arange(4)
        split = ops.split.fast_twin()
        pieces = whole[..., :1], whole[..., 1:].reshape(2, 3, 1, 3).reshape(2, 3, 3)
        (d,) = split.backward(-1, *pieces)
        assert d.base is whole
        np.testing.assert_array_equal(d, whole)

    def test_heads_that_lie_side_by_side_are_not_copied_either(self):
        """The array around them may have another shape, as attention's has."""
        whole = np.random.default_rng(0).normal(size=(2, 3, 4 * 5))
        pieces = whole[..., : 3 * 5].reshape(2, 3, 3, 5), whole[..., 3 * 5 :].reshape(2, 3, 1, 5)
        (d,) = ops.split.fast_twin().backward(-2, *pieces)
        assert d.base is whole
        np.testing.assert_array_equal(d, whole.reshape(2, 3, 4, 5))

    @pytest.mark.parametrize(
        "pieces",
        [
            lambda whole: (whole[..., 2:], whole[..., :2]),
            lambda whole: (whole[..., :2], whole[..., :2]),
            lambda whole: (whole[..., :2], whole[..., 1:3]),
            lambda whole: (whole[..., :2], whole[..., 2:].copy()),
            lambda whole: (whole[..., :1], whole[..., 2:]),
            lambda whole: (whole[:1, :, :2], whole[1:, :, 2:]),
            lambda whole: (whole.transpose(0, 2, 1)[:, :3, :2], whole[..., 2:]),
            lambda whole: (whole[:, ::-1, :2], whole[:, ::-1, 2:]),
        ],
    )
    def test_other_gradients_are_put_side_by_side(self, pieces):
        d_pieces = pieces(np.random.default_rng(0).normal(size=(2, 3, 4)))
        (d,) = ops.split.fast_twin().backward(-1, *d_pieces)
        np.testing.assert_array_equal(d, np.concatenate(d_pieces, axis=-1))

    def test_sizes_that_do_not_add_up_are_refused(self):
        with pytest.raises(ValueError, match="cannot split a width of 6 into pieces of \\(2, 3\\): they sum to 5"):
            ops.split(np.zeros(6), sizes=(2, 3))

    def test_reshape_undoes_itself(self, each_engine):
        x = np.arange(12.0).reshape(3, 4)
        np.testing.assert_array_equal(ops.reshape(ops.reshape(x, shape=(2, -1)), shape=(3, 4)), x)


class TestEmbedding:
    weight = np.arange(12.0).reshape(4, 3)

    def test_rows_are_looked_up(self, each_engine):
        np.testing.assert_array_equal(
            ops.embedding(self.weight, ids=np.array([[3, 0]])), [[[9, 10, 11], [0, 1, 2]]]
        )

    def test_gradients_of_repeated_ids_add_up(self, each_engine):
        tape = Tape()
        weight = tape.variable(self.weight)
        tape.backward(ops.embedding(weight, ids=np.array([1, 1, 3])))
        assert weight.grad[:, 0].tolist() == [0, 2, 0, 1]

    @pytest.mark.parametrize("wrong", [-1, 4, 99])
    def test_ids_outside_the_table_are_refused(self, each_engine, wrong):
        with pytest.raises(DataError, match=f"token id {wrong} is outside the vocabulary of 4"):
            ops.embedding(self.weight, ids=np.array([0, wrong]))

    def test_no_ids_are_fine(self, each_engine):
        assert ops.embedding(self.weight, ids=np.zeros((2, 0), int)).shape == (2, 0, 3)
