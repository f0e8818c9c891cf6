"""The chunked twin: any division into pieces gives the same loss and gradients, and never are all logits there."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.engine.gradient import dense
from quanta_tissu.tisslm.engine.memory import scratch
from quanta_tissu.tisslm.ops.kernels import linear_cross_entropy as fast

ROWS, WIDTH, VOCAB = 45, 7, 131
OPTIONS = {"label_smoothing": 0.1, "z_loss": 1e-3, "denominator": 19.0}


@pytest.fixture
def example():
    rng = np.random.default_rng(3)
    x, weight = rng.normal(size=(3, ROWS // 3, WIDTH)), rng.normal(size=(VOCAB, WIDTH))
    targets = rng.integers(0, VOCAB, (3, ROWS // 3))
    targets[1, ::4] = -100
    return x, weight, targets


@pytest.fixture
def pieces(monkeypatch):
    """`pieces(rows, elements)`: at most so many rows of logits, and so many elements of dW, at a time."""

    def limit(rows, elements):
        monkeypatch.setattr(fast, "_LEAST_ROWS", rows)
        monkeypatch.setattr(fast, "_LOGITS_BYTES", 0)
        monkeypatch.setattr(fast, "_GRADIENT_ELEMENTS", elements)

    return limit


@pytest.mark.parametrize("rows", [1, 2, 16, 44, 45, 100])
@pytest.mark.parametrize("elements", [1, 100, 10_000])
def test_any_pieces_give_what_two_ops_give(example, pieces, rows, elements):
    x, weight, targets = example
    pieces(rows, elements)
    logits, saved_by_linear = ops.linear.readable.forward(x, weight)
    expected, saved_by_loss = ops.cross_entropy.readable.forward(logits, targets=targets, **OPTIONS)
    (dlogits,) = ops.cross_entropy.readable.backward(saved_by_loss, np.array(0.3))
    dx, dweight, _ = ops.linear.readable.backward(saved_by_linear, dlogits)
    loss, saved = fast.forward(x, weight, targets=targets, **OPTIONS)
    found = fast.backward(saved, np.array(0.3))
    assert loss == pytest.approx(float(expected), rel=1e-13)
    assert fast.value(x, weight, targets=targets, **OPTIONS) == pytest.approx(float(expected), rel=1e-13)
    np.testing.assert_allclose(found[0], dx, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(found[1], dweight, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("rows", [1, 16, 45])
@pytest.mark.parametrize("elements", [1, 100, 10_000])
def test_both_passes_at_once_hand_on_the_same_gradients_row_by_row(example, pieces, rows, elements):
    x, weight, targets = example
    pieces(rows, elements)
    expected, saved = fast.forward(x, weight, targets=targets, **OPTIONS)
    sums, largest = [np.zeros_like(x), np.zeros_like(weight)], [0, 0]

    def receive(number, gradient):
        largest[number] = max(largest[number], getattr(gradient, "rows", gradient).size)
        sums[number] += dense(gradient)

    loss = fast.differentiate(x, weight, d_output=0.3, receive=receive, targets=targets, **OPTIONS)
    assert loss == expected
    for found, d in zip(sums, fast.backward(saved, np.array(0.3)), strict=True):
        np.testing.assert_allclose(found, d, rtol=1e-11, atol=1e-14)
    assert largest[1] <= max(elements, WIDTH)


def test_pieces_are_few_and_of_about_equal_length(pieces):
    pieces(10, 1)
    x, weight = np.zeros((31, 2)), np.zeros((3, 2))
    assert [s.stop - s.start for s in fast._spans(x, weight)] == [7, 8, 8, 8]
    assert fast._spans(x[:0], weight) == []


def test_no_rows_have_no_loss_and_no_gradient():
    weight = np.ones((3, 2))
    loss, saved = fast.forward(np.empty((0, 2)), weight, targets=np.empty(0, np.int64))
    dx, dweight = fast.backward(saved, np.array(1.0))
    assert loss == 0
    assert dx.shape == (0, 2)
    assert not dweight.any()


def test_large_logits_are_never_there_as_a_whole():
    """60 MB of logits in pieces of 16 MB, and evaluation makes no gradients either."""
    rng = np.random.default_rng(0)
    vocab, rows = 30_000, 500
    x, weight = rng.normal(size=(rows, 4)).astype(np.float32), rng.normal(size=(vocab, 4)).astype(np.float32)
    targets = rng.integers(0, vocab, rows)
    most = 16 * 2**20
    scratch((most,), np.uint8)  # the thread's own memory, which stays
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "_LOGITS_BYTES", most)
        fast.forward(x, weight, targets=targets)
        peaks = []
        for function in (fast.forward, fast.value):
            tracemalloc.start()
            function(x, weight, targets=targets)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[0] < 2.2 * weight.nbytes  # its gradient, and a part of that in the making
    assert peaks[1] < 100_000


@pytest.mark.parametrize("function", [fast.forward, fast.value])
@pytest.mark.parametrize("wrong", [-1, 131, 1 << 40])
def test_a_target_that_is_no_token_is_refused_before_any_work(example, function, wrong):
    x, weight, targets = example
    targets[2, 3] = wrong
    with pytest.raises(DataError, match=f"target {wrong} is neither a token of the vocabulary of 131") as error:
        function(x, weight, targets=targets)
    assert "tokenizer" in error.value.hint
