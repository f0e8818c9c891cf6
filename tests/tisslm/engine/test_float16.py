"""Simulated float16: roundings are NumPy's to the bit, and they are where autocast has its casts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslm import engine, ops
from quanta_tissu.tisslm.engine import Tape
from quanta_tissu.tisslm.engine.engines import Engine
from quanta_tissu.tisslm.engine.float16 import (
    LARGEST,
    POLICIES,
    Float16Engine,
    cast,
    fast_cast,
    fast_round_in_place,
    fast_rounded,
    round_in_place,
    rounded,
)
from quanta_tissu.tisslm.engine.gradient import dense

HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
"""Every float16 there is, not-a-numbers and infinities among them."""
FINITE = np.sort(HALVES[np.isfinite(HALVES)])
NEXT = np.append(FINITE[1:], np.float32(65536))  # what lies beyond the largest, if there were no infinity


def bits(x):
    """Bits of the numbers; not-a-numbers are all alike."""
    return np.where(np.isnan(x), np.float32(np.nan), x).view(np.uint32)


def assert_same(x):
    """The kernel and the readable version give NumPy's float16, to the bit and the sign of zero."""
    x = np.atleast_1d(np.asarray(x, np.float32))
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16).astype(np.float32)
    for function in (rounded, fast_rounded):
        before = x.copy()
        found = function(x)
        np.testing.assert_array_equal(bits(found), bits(expected))
        np.testing.assert_array_equal(bits(x), bits(before))
        assert not np.shares_memory(found, x)
    for function in (cast, fast_cast):
        np.testing.assert_array_equal(bits(function(x)), bits(expected))
    for function in (round_in_place, fast_round_in_place):
        found = x.copy()
        function(found)
        np.testing.assert_array_equal(bits(found), bits(expected))


def test_every_float16_is_itself():
    assert_same(HALVES)
    np.testing.assert_array_equal(bits(fast_rounded(HALVES)), bits(HALVES))


@pytest.mark.parametrize("function", [cast, fast_cast])
def test_what_is_a_float16_already_is_not_copied(function):
    numbers = HALVES[~np.isnan(HALVES)]
    assert function(numbers) is numbers
    for where in (0, 1023, 1024, len(numbers) - 1):
        other = numbers.copy()
        other[where] = 1 / 3
        assert not np.shares_memory(function(other), other)


def test_half_way_cases_go_to_the_even_neighbour_and_their_neighbours_to_the_nearer_one():
    middle = ((FINITE.astype(np.float64) + NEXT) / 2).astype(np.float32)  # exact: one more bit
    for x in (middle, np.nextafter(middle, np.float32(np.inf)), np.nextafter(middle, np.float32(-np.inf))):
        assert_same(x)
    assert fast_rounded(np.array([2049.0, 2051.0], np.float32)).tolist() == [2048.0, 2052.0]


def test_subnormals_and_what_vanishes():
    tiny = 2.0**-24
    x = np.array([tiny, 1.49 * tiny, 1.5 * tiny, 2.5 * tiny, tiny / 2, tiny / 2 * 1.0000001, 1e-40, -1e-40, -0.0])
    assert_same(x)
    found = fast_rounded(x.astype(np.float32)) / np.float32(tiny)
    assert found.tolist() == [1, 1, 2, 2, 0, 1, 0, 0, 0]
    assert np.signbit(found).tolist() == [False] * 7 + [True, True]


def test_what_is_too_large_is_infinite():
    x = np.array([65504, 65519.996, 65520, 65536, 1e38, np.inf, -65519.996, -65520, -np.inf, np.nan], np.float32)
    assert_same(x)
    assert fast_rounded(x)[:3].tolist() == [LARGEST, LARGEST, np.inf]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=64))
def test_any_float32(patterns):
    assert_same(np.array(patterns, np.uint32).view(np.float32))


def test_everything_that_is_kept_with_what_is_dropped_around_a_tie():
    """All 2^19 upper bits of a float32, and lower ones that are nothing, near a half, a half, and nearly one."""
    for tail in (0x0000, 0x0FFF, 0x1000, 0x1001, 0x1FFF):
        assert_same((np.arange(1 << 19, dtype=np.uint32) << 13 | tail).view(np.float32))


@pytest.mark.parametrize("function", [fast_rounded, rounded])
def test_arrays_of_any_layout_and_other_types(function):
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    expected = x.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(function(x.transpose(2, 0, 1)), expected.transpose(2, 0, 1))
    np.testing.assert_array_equal(function(x[:, 1:, ::2]), expected[:, 1:, ::2])
    np.testing.assert_array_equal(function(x.astype(np.float64)), expected)
    assert function(x.astype(np.float64)).dtype == np.float64
    assert function(x[0, 0, 0].reshape(())).shape == ()
    view = x.transpose(2, 0, 1)
    (fast_round_in_place if function is fast_rounded else round_in_place)(view)
    np.testing.assert_array_equal(x, expected)


@pytest.fixture(params=["reference", "fast"])
def name(request):
    with engine.use(request.param):
        yield request.param


def test_every_op_has_a_policy():
    assert set(ops.REGISTRY) <= set(POLICIES)


def test_an_op_without_a_policy_is_refused():
    class Unknown:
        name = "unknown"
        readable = ops.REGISTRY["add"].readable

        def fast_twin(self):
            return None

    with pytest.raises(NotImplementedError, match="'unknown' has no float16 policy"):
        Float16Engine("reference").implementation(Unknown())


def float32(x):
    return x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x


def is_half(x):
    return np.array_equal(x, x.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("op", sorted(ops.REGISTRY))
def test_ops_are_given_and_return_what_their_policy_says(name, op):
    """The engine's op is the float32 op between roundings, and it leaves alone what it was given."""
    policy = POLICIES[op]
    rng = np.random.default_rng(0)
    for sample in ops.REGISTRY[op].samples(rng):
        inputs = [float32(x) for x in sample.inputs]
        attributes = {k: float32(v) for k, v in sample.attributes.items()}
        given_inputs = [None if x is None else x.copy() for x in inputs]
        half, plain = (kind(name).implementation(ops.REGISTRY[op]) for kind in (Float16Engine, Engine))

        result, saved = half.forward(*inputs, **attributes)
        seen = [x if x is None or not policy.inputs else rounded(x) for x in inputs]
        expected, plain_saved = plain.forward(*seen, **attributes)
        several = isinstance(result, tuple)
        results, expected = (result, expected) if several else ((result,), (expected,))
        for found, wanted in zip(results, expected, strict=True):
            np.testing.assert_array_equal(found, rounded(wanted) if policy.outputs else wanted)

        d_outputs = [rng.normal(size=y.shape).astype(np.float32) for y in results]
        given_d = [d.copy() for d in d_outputs]
        found_d = half.backward(saved, *d_outputs)
        d_seen = [rounded(d) if policy.outputs else d for d in d_outputs]
        wanted_d = plain.backward(plain_saved, *d_seen)
        for found, wanted in zip(found_d, wanted_d, strict=True):
            assert (found is None) == (wanted is None)
            if found is None:
                continue
            found, wanted = dense(found), dense(wanted)
            if policy.inputs or policy.outputs:
                assert is_half(found)
                wanted = rounded(wanted)
            if op in ("attention", "tanh"):  # these may save what they return: the rounded result
                np.testing.assert_allclose(
                    found, wanted, rtol=0, atol=2**-9 * np.abs([wanted.max(), d_outputs[0].max()]).max()
                )
            else:
                np.testing.assert_array_equal(found, wanted)
        for x, copy in zip([*inputs, *d_outputs], [*given_inputs, *given_d], strict=True):
            np.testing.assert_array_equal(x, copy)


def test_a_gradient_that_vanishes_survives_if_the_loss_is_scaled(name):
    x = np.ones((1, 4), np.float32)
    weight = np.full((3, 4), 0.5, np.float32)
    found = {}
    for scale in (1.0, 2.0**16):
        tape = Tape(Float16Engine(name))
        variable = tape.variable(weight)
        tape.backward(ops.linear(x, variable), np.full((1, 3), 1e-8 * scale, np.float32))
        found[scale] = variable.grad / scale
    np.testing.assert_array_equal(found[1.0], 0)
    np.testing.assert_allclose(found[2.0**16], 1e-8, rtol=2**-11)


def test_sums_of_products_are_float32(name):
    """4,097 ones cannot be counted in float16, whose numbers are even from 2,048 on; only their sum is rounded."""
    ones = np.ones((1, 4097), np.float32)
    tape = Tape(Float16Engine(name))
    y = ops.linear(tape.variable(ones), ones)
    assert y.value.item() == 4096  # 4,097 rounded; adding up in float16 would have ended at 2,048


def test_the_residual_stream_and_norms_are_float32(name):
    third = np.full((1, 2, 4), 1 / 3, np.float32)
    tape = Tape(Float16Engine(name))
    x = ops.add(tape.variable(third), third)
    assert x.value.flat[0] == np.float32(2 / 3)
    weight = np.full(4, 1 / 3, np.float32)
    y = ops.rms_norm(tape.variable(third), weight, eps=1e-5)
    assert not is_half(y.value)
