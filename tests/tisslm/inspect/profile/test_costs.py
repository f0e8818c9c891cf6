"""The work of an operation, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.inspect.profile.costs import (
    FORMULAS,
    Call,
    attended_pairs,
    backward_work,
    forward_work,
    function_work,
    model_flops,
    moved,
    optimizer_work,
)
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.ops import REGISTRY


def described(name, inputs, attributes=None):
    """An operation's call, what it saved, and gradients of its inputs."""
    attributes = attributes or {}
    outputs, saved = REGISTRY[name].readable.forward(*inputs, **attributes)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    d_outputs = [np.ones_like(y) for y in outputs]
    return Call(inputs, attributes, outputs), saved, d_outputs, REGISTRY[name].readable.backward(saved, *d_outputs)


def works(name, inputs, attributes=None):
    call, saved, d_outputs, d_inputs = described(name, inputs, attributes)
    return forward_work(name, call), backward_work(name, call, saved, d_outputs, d_inputs)


def array(*shape):
    return np.ones(shape, np.float32)


def test_every_operation_has_a_formula():
    assert set(FORMULAS) == set(REGISTRY)


def test_a_linear_layer():
    forward, backward = works("linear", (array(2, 3, 5), array(7, 5), array(7)))
    assert forward.flops == 2 * 6 * 5 * 7 + 6 * 7  # 6 rows; a multiply-add each, and the bias
    assert forward.nbytes == 4 * (30 + 35 + 7 + 42)
    assert backward.flops == 2 * (2 * 6 * 5 * 7) + 42  # two products and the sum for the bias
    assert backward.nbytes == 4 * (30 + 35 + 42 + 30 + 35 + 7)  # x, W, dy, dx, dW, db


@pytest.mark.parametrize(
    ("T", "S", "window", "pairs"),
    [(4, 4, None, 1 + 2 + 3 + 4), (1, 9, None, 9), (2, 5, None, 4 + 5), (4, 4, 2, 1 + 2 + 2 + 2), (1, 9, 3, 3)],
)
def test_pairs_of_query_and_key(T, S, window, pairs):
    assert attended_pairs(T, S, window) == pairs


def test_attention_counts_what_the_mask_leaves():
    q, k, v = array(2, 4, 6, 8), array(2, 4, 3, 8), array(2, 4, 3, 8)
    forward, backward = works("attention", (q, k, v))
    pairs = 2 * 6 * (1 + 2 + 3 + 4)
    assert forward.flops == pairs * (2 * 8 + 2 * 8 + 6)
    assert backward.flops == pairs * (4 * 2 * 8 + 5)
    assert forward.nbytes == 4 * (q.size + k.size + v.size + q.size)


def test_the_head_is_a_product_and_a_loss():
    forward, backward = works(
        "linear_cross_entropy", (array(2, 3, 5), array(7, 5)), {"targets": np.ones((2, 3), int)}
    )
    assert forward.flops == 2 * 6 * 5 * 7 + 5 * 6 * 7
    assert backward.flops == 2 * (2 * 6 * 5 * 7) + 2 * 6 * 7


def test_an_embedding_reads_the_rows_it_returns_and_not_the_table():
    ids = np.array([[1, 2, 2]])
    forward, backward = works("embedding", (array(1000, 4),), {"ids": ids})
    assert (forward.flops, backward.flops) == (0, 12)
    assert forward.nbytes == ids.nbytes + 2 * 4 * 12


@pytest.mark.parametrize(("name", "per_element"), [("gelu", (4, 10)), ("relu", (1, 1)), ("silu", (4, 8))])
def test_activations_cost_something_for_each_element(name, per_element):
    forward, backward = works(name, (array(3, 5),))
    assert (forward.flops, backward.flops) == tuple(15 * count for count in per_element)
    assert forward.nbytes == 4 * 30


def test_a_rotation_counts_the_heads_that_are_rotated():
    tables = {"cos": array(1, 4, 3), "sin": array(1, 4, 3)}
    assert works("rope", (array(2, 4, 5, 6),), tables)[0].flops == 3 * 2 * 4 * 5 * 6
    assert works("rope", (array(2, 4, 5, 6),), {**tables, "heads": 2})[1].flops == 3 * 2 * 4 * 2 * 6


def test_views_move_nothing():
    forward, backward = works("reshape", (array(3, 4),), {"shape": (2, 6)})
    assert (forward.nbytes, backward.nbytes) == (0, 0)
    assert works("split", (array(3, 4),), {"sizes": (1, 3)})[0].nbytes == 0


def test_an_array_given_twice_is_moved_once():
    x = array(10)
    assert moved([x, x], [x + x]) == 80


def test_an_operation_of_ones_own_has_bytes_but_no_flops():
    call = Call((array(4),), {}, [array(4)])
    assert forward_work("mine", call).flops is None
    assert forward_work("mine", call).nbytes == 32


def test_flat_functions_and_the_optimizer():
    x, y = array(100), array(100)
    assert vars(function_work("sum_into", (x, y))) == {"flops": 300, "nbytes": 1200}
    assert vars(function_work("squared_norm", (x,))) == {"flops": 200, "nbytes": 400}
    ids, rows = np.arange(3), array(3, 5)
    assert vars(function_work("add_rows", (array(9, 5), ids, rows))) == {"flops": 15, "nbytes": 24 + 180}
    assert function_work("unknown", (x, y)).flops is None
    work = optimizer_work("adamw", x, 2)
    assert work.nbytes == 400 * 7  # parameters, gradient and two moments are read, all but the gradient written
    assert work.flops == 1400
    assert optimizer_work("muon", x, 1).flops is None


@pytest.mark.parametrize("window", [None, 5])
def test_a_model_is_the_sum_of_its_products_and_agrees_with_the_summary(window):
    config = ModelConfig(
        vocab_size=17, context_length=8, n_layers=2, d_model=16, n_heads=4, n_kv_heads=2, sliding_window=window
    )
    decoder = Decoder.initialise(config, seed=0)
    flops = model_flops(decoder, 3, 8)
    matrices = sum(spec.size for spec in decoder.parameters.specs if "proj" in spec.name) + 17 * 16
    pairs = attended_pairs(8, 8, window)
    assert flops == 3 * (8 * 2 * matrices + 2 * pairs * 4 * 16)
    # The summary counts attention at the last position; a token at the others sees less.
    parts = {part.name: part.flops for part in decoder.summary().parts}
    seen = min(8, window or 8)
    exact = (
        24 * (decoder.summary().flops - parts["attention scores"]) + 3 * parts["attention scores"] * pairs / seen
    )
    assert flops == exact
