"""Every fast twin equals its readable op, at sizes that exercise vector loops, tails and blocks.

The harness (`tissu gradcheck`) proves the twins on small samples of every option; here they meet the shapes of
real models, where vectorised loops and attention's blocks do their work, and what must not be lost on the way:
errors, not-a-number, infinity.
"""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm.engine.gradient import dense
from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.ops import REGISTRY
from quanta_tissu.tisslm.ops.kernels import attention as fast_attention
from quanta_tissu.tisslm.ops.kernels.attention_kernels import KEEP_ALL, NO_MASK, Weighting, attend

RNG_SEED = 5
TOLERANCE = {np.float64: 1e-12, np.float32: 4e-6}


def both(name, inputs, attributes, dtype, d_output_seed=1):
    """Outputs and gradients of the readable op and of its fast twin."""
    results = []
    for implementation in (REGISTRY[name].readable, REGISTRY[name].fast_twin()):
        arrays = [None if x is None else x.astype(dtype) for x in inputs]
        result, saved = implementation.forward(*arrays, **attributes)
        outputs, rng = result if isinstance(result, tuple) else (result,), np.random.default_rng(d_output_seed)
        d_outputs = [np.asarray(rng.normal(size=y.shape).astype(dtype)) for y in outputs]
        results.append(
            (*outputs, *(dense(d) for d in implementation.backward(saved, *d_outputs) if d is not None))
        )
    return results


def assert_same(readable, fast, dtype):
    assert len(readable) == len(fast)
    for expected, actual in zip(readable, fast, strict=True):
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
        difference, size = (np.max(np.abs(x), initial=0) for x in (actual - expected, expected))
        assert difference <= TOLERANCE[dtype] * size


dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@dtypes
@pytest.mark.parametrize("width", [2, 7, 8, 65, 384])
@pytest.mark.parametrize("name", ["rms_norm", "layer_norm", "softmax", "gelu", "gelu_tanh", "silu", "swiglu"])
def test_row_wise_ops_at_any_width(name, width, dtype):
    rng = np.random.default_rng(RNG_SEED)
    x = rng.normal(size=(3, 5, 2 * width)) * 3
    if name.endswith("norm"):
        inputs, attributes = (x, rng.normal(size=2 * width)), {"eps": 1e-5}
    else:
        inputs, attributes = (x,), {}
    assert_same(*both(name, inputs, attributes, dtype), dtype)


@dtypes
@pytest.mark.parametrize("width", [2, 7, 8, 65, 384])
@pytest.mark.parametrize("name", ["add_rms_norm", "add_layer_norm"])
def test_residual_and_norm_at_any_width(name, width, dtype):
    rng = np.random.default_rng(RNG_SEED)
    x, y, weight = (rng.normal(size=shape) * 3 for shape in ((3, 5, width), (3, 5, width), width))
    assert_same(*both(name, (x, y, weight), {"eps": 1e-5}, dtype), dtype)
    fast = REGISTRY[name].fast_twin()
    (_, normed), saved = fast.forward(x.astype(dtype), y.astype(dtype), weight.astype(dtype), eps=1e-5)
    np.testing.assert_array_equal(fast.again(saved), normed)


@dtypes
@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_multiplies_all_rows_at_once(with_bias, dtype):
    rng = np.random.default_rng(RNG_SEED)
    bias = rng.normal(size=17) if with_bias else None
    assert_same(*both("linear", (rng.normal(size=(3, 50, 40)), rng.normal(size=(17, 40)), bias), {}, dtype), dtype)


@dtypes
@pytest.mark.parametrize("name", ["rms_norm", "layer_norm", "softmax", "gelu", "gelu_tanh", "silu", "swiglu"])
def test_no_rows_at_all_are_fine(name, dtype):
    inputs = (np.empty((2, 0, 4)), np.ones(4)) if name.endswith("norm") else (np.empty((2, 0, 4)),)
    assert_same(*both(name, inputs, {"eps": 1e-5} if name.endswith("norm") else {}, dtype), dtype)


@dtypes
@pytest.mark.parametrize(
    ("T", "S", "heads", "kv_heads"),
    [(130, 130, 2, 2), (128, 128, 4, 2), (64, 64, 2, 1), (129, 300, 2, 1), (1, 70, 4, 4), (150, 130, 2, 2)],
)
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"window": 1},
        {"window": 70},
        {"causal": False},
        {"causal": False, "window": 30},
        {"dropout": 0.2, "seed": (3, 4)},
        {"window": 50, "dropout": 0.1, "seed": (3,), "scale": 0.2},
    ],
    ids=str,
)
def test_attention_in_blocks(T, S, heads, kv_heads, attributes, dtype):
    rng = np.random.default_rng(RNG_SEED)
    inputs = [rng.normal(size=shape) for shape in ((2, T, heads, 8), (2, S, kv_heads, 8), (2, S, kv_heads, 8))]
    assert_same(*both("attention", inputs, attributes, dtype), dtype)


@dtypes
@pytest.mark.parametrize("window", [None, 20])
def test_attention_with_padding_in_blocks(window, dtype):
    rng = np.random.default_rng(RNG_SEED)
    inputs = [rng.normal(size=(2, 150, 2, 8)) for _ in range(3)]
    key_mask = np.ones((2, 150), bool)
    key_mask[0, :80] = False  # the first queries of the first sequence see nothing
    key_mask[1, ::3] = False
    assert_same(*both("attention", inputs, {"key_mask": key_mask, "window": window}, dtype), dtype)


@dtypes
@pytest.mark.parametrize("E", [1, 15, 16, 17, 40])
@pytest.mark.parametrize("T", [1, 2, 3, 4, 5, 17, 64, 65])
def test_attention_at_the_edges_of_tiles_and_blocks(T, E, dtype):
    """Heads that are no whole vectors, queries that are no whole tiles, one query (a kernel of its own)."""
    rng = np.random.default_rng(RNG_SEED)
    inputs = [rng.normal(size=shape) for shape in ((2, T, 6, E), (2, T + 30, 3, E), (2, T + 30, 3, E))]
    key_mask = np.arange(T + 30) >= np.array([[0], [20]])
    for window in (None, 7):
        assert_same(*both("attention", inputs, {"key_mask": key_mask, "window": window}, dtype), dtype)


@pytest.mark.parametrize("T", [2, 20])
@pytest.mark.parametrize("drawn", [1, 50, 500])
@pytest.mark.parametrize("kept", [0, 10_000])
def test_attention_draws_dropped_weights_in_parts(T, drawn, kept, monkeypatch):
    """One row, some rows or some heads at a time, once or twice: the mask, and so the result, is the same."""
    monkeypatch.setattr(fast_attention, "_DRAWN", drawn)
    monkeypatch.setattr(fast_attention, "_KEPT", kept)
    rng = np.random.default_rng(RNG_SEED)
    inputs = [rng.normal(size=shape) for shape in ((2, T, 4, 16), (2, 21, 2, 16), (2, 21, 2, 16))]
    assert_same(*both("attention", inputs, {"dropout": 0.3, "seed": (3,), "window": 11}, np.float64), np.float64)


@pytest.mark.parametrize("attributes", [{}, {"dropout": 0.1, "seed": (1,)}], ids=["plain", "dropout"])
def test_attention_takes_memory_that_grows_with_the_length_alone(attributes):
    """Weights of 4,096 queries for 4,096 keys would be 128 MiB; q, k, v and y are 512 KiB each."""
    T, H, E = 4096, 2, 16
    rng = np.random.default_rng(RNG_SEED)
    q, k, v, dy = (rng.normal(size=(1, T, H, E)).astype(np.float32) for _ in range(4))
    fast = REGISTRY["attention"].fast_twin()
    fast.backward(fast.forward(q[:, :8], k[:, :8], v[:, :8], **attributes)[1], dy[:, :8])  # compiles
    tracemalloc.start()  # sees what kernels allocate, too
    try:
        _, saved = fast.forward(q, k, v, **attributes)
        fast.backward(saved, dy)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (9 if attributes else 4) * 2**20  # of dropout, a million random numbers at a time


@dtypes
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("batches", [1, 3])
def test_rope_at_model_size(batches, interleaved, dtype):
    rng = np.random.default_rng(RNG_SEED)
    angles = rng.uniform(0, 6, size=(batches, 33, 16))
    attributes = {"cos": np.cos(angles), "sin": np.sin(angles), "interleaved": interleaved}
    assert_same(*both("rope", (rng.normal(size=(3, 33, 4, 32)),), attributes, dtype), dtype)


@dtypes
def test_attention_reads_pieces_of_a_packed_projection_in_place(dtype):
    packed = np.random.default_rng(RNG_SEED).normal(size=(2, 9, 3 * 16)).astype(dtype)
    pieces = [piece.reshape(2, 9, 4, 4) for piece in np.split(packed, 3, axis=-1)]
    fast = REGISTRY["attention"].fast_twin()
    y, saved = fast.forward(*pieces)
    apart, saved_apart = fast.forward(*(np.ascontiguousarray(piece) for piece in pieces))
    np.testing.assert_allclose(y, apart, rtol=TOLERANCE[dtype])
    dy = np.ones_like(y)
    for d, d_apart in zip(fast.backward(saved, dy), fast.backward(saved_apart, dy), strict=True):
        np.testing.assert_allclose(d, d_apart, rtol=0, atol=TOLERANCE[dtype])


@kernel
def attend_to_a_group(q, k, v, y, lse, first, last):
    """As a kernel of a whole model calls it: the query heads first to last, which read one key-value head."""
    group = first // (last - first)
    weighting = Weighting(k.shape[1] - q.shape[1], 0.5, True, 0, NO_MASK, KEEP_ALL, 1.0)
    attend(
        q[:, :, first:last],
        k[:, :, group : group + 1],
        v[:, :, group : group + 1],
        y[:, :, first:last],
        lse[:, :, first:last],
        weighting,
    )


@dtypes
def test_attention_can_be_called_by_other_kernels_for_some_heads(dtype):
    rng = np.random.default_rng(RNG_SEED)
    q, k, v = (rng.normal(size=shape).astype(dtype) for shape in ((2, 9, 6, 20), (2, 30, 2, 20), (2, 30, 2, 20)))
    y, lse = np.zeros_like(q), np.zeros(q.shape[:3], dtype)
    for first in (0, 3):
        attend_to_a_group(q, k, v, y, lse, first, first + 3)
    expected, _ = REGISTRY["attention"].readable.forward(q, k, v, scale=0.5)
    assert np.max(np.abs(y - expected)) <= TOLERANCE[dtype] * np.max(np.abs(expected))


def test_attention_with_dropout_needs_a_seed():
    q = np.zeros((1, 2, 1, 4))
    with pytest.raises(ValueError, match="seed"):
        REGISTRY["attention"].fast_twin().forward(q, q, q, dropout=0.5)


@dtypes
@pytest.mark.parametrize("vocab_size", [2, 65, 513])
def test_cross_entropy_at_vocabulary_sizes(vocab_size, dtype):
    rng = np.random.default_rng(RNG_SEED)
    targets = rng.integers(vocab_size, size=(4, 9), dtype=np.int32)
    targets[1, 3:] = -100
    attributes = {"targets": targets, "label_smoothing": 0.1, "z_loss": 1e-3}
    assert_same(*both("cross_entropy", (rng.normal(size=(4, 9, vocab_size)) * 5,), attributes, dtype), dtype)


@pytest.mark.parametrize("wrong", [-1, 5, 1 << 40])
def test_cross_entropy_refuses_a_target_that_is_no_token(wrong):
    with pytest.raises(DataError, match=f"target {wrong} is neither a token"):
        REGISTRY["cross_entropy"].fast_twin().forward(np.zeros((2, 5)), targets=np.array([1, wrong]))


@dtypes
def test_cross_entropy_of_an_impossible_token_is_infinite(dtype):
    logits = np.array([[0.0, -np.inf, 1.0]], dtype)
    loss, _ = REGISTRY["cross_entropy"].fast_twin().forward(logits, targets=np.array([1]))
    assert loss == math.inf
    loss, saved = REGISTRY["cross_entropy"].fast_twin().forward(logits, targets=np.array([2]))
    (dlogits,) = REGISTRY["cross_entropy"].fast_twin().backward(saved, np.ones((), dtype))
    assert math.isfinite(loss)
    assert dlogits[0, 1] == 0


def test_embedding_gradient_of_ids_in_any_integer_type():
    dy = np.random.default_rng(RNG_SEED).normal(size=(3, 4, 2)).astype(np.float32)
    for dtype in (np.int64, np.int32, np.int16):
        ids = np.array([[0, 1, 1, 5], [5, 5, 2, 0], [0, 0, 0, 0]], dtype)
        weight = np.zeros((6, 2), np.float32)
        for implementation in (REGISTRY["embedding"].readable, REGISTRY["embedding"].fast_twin()):
            _, saved = implementation.forward(weight, ids=ids)
            (dweight,) = map(dense, implementation.backward(saved, dy))
            np.testing.assert_allclose(dweight[2], dy[1, 2])
            np.testing.assert_allclose(dweight[5], dy[0, 3] + dy[1, 0] + dy[1, 1], rtol=1e-6)
            np.testing.assert_array_equal(dweight[3:5], 0)


@dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["rms_norm", "layer_norm", "softmax", "gelu", "gelu_tanh", "silu", "swiglu"])
def test_what_diverged_stays_visible(name, bad, dtype):
    """A training run that diverges must be seen in its loss, so no kernel may swallow a NaN or an infinity."""
    x = np.ones((2, 40), dtype)
    x[1, 17] = bad
    inputs = (x, np.ones(40, dtype)) if name.endswith("norm") else (x,)
    y, _ = REGISTRY[name].fast_twin().forward(*inputs, **({"eps": 1e-5} if name.endswith("norm") else {}))
    assert np.isfinite(y[0]).all()
    assert not np.isfinite(y[1]).all()


@dtypes
def test_attention_shows_a_diverged_key_to_those_who_see_it(dtype):
    q, k, v = np.random.default_rng(RNG_SEED).normal(size=(3, 1, 20, 1, 8)).astype(dtype)
    k[0, 10] = np.nan
    y, _ = REGISTRY["attention"].fast_twin().forward(q, k, v)
    assert np.isfinite(y[0, :10]).all()
    assert np.isnan(y[0, 10:]).all()
