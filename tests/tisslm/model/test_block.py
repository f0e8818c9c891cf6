"""A block: attention and feed-forward, each added to the residual stream."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm import engine, ops
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.engine import Tape
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.model.forward_pass import ForwardPass

WIDTH = 16


def one_after_the_other(block, x, run):
    """Its formula, an operation at a time."""
    if block.pre_norm:
        x = ops.add(x, block.attention(block.attention_norm(x, run), run))
        return ops.add(x, block.feed_forward(block.feed_forward_norm(x, run), run))
    x = block.attention_norm(ops.add(x, block.attention(x, run)), run)
    return block.feed_forward_norm(ops.add(x, block.feed_forward(x, run)), run)


def output_and_gradients(function, decoder):
    tape, rng = Tape(), np.random.default_rng(1)
    params = {name: tape.variable(array) for name, array in decoder.parameters.items()}
    run = ForwardPass(params, np.arange(5)[None], np.dtype(np.float64))
    x = tape.variable(rng.normal(size=(2, 5, WIDTH)))
    y = function(x, run)
    tape.backward(y, rng.normal(size=y.shape))
    gradients = [p.grad for name, p in params.items() if ".layers." in name]
    return [y.value, x.grad, *gradients]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("placement", ["pre", "post"])
@pytest.mark.parametrize("norm", ["rms_norm", "layer_norm"])
def test_residual_and_norm_in_one_operation_are_the_same_bits(norm, placement, bias):
    settings = {"vocab_size": 7, "context_length": 8, "n_layers": 1, "d_model": WIDTH, "n_heads": 2}
    settings |= {"norm": norm, "norm_placement": placement, "bias": bias}
    decoder = Decoder.initialise(ModelConfig.model_validate(settings), 3, dtype=np.float64)
    (block,) = decoder.blocks
    with engine.use("reference"):
        found = output_and_gradients(block, decoder)
        expected = output_and_gradients(lambda x, run: one_after_the_other(block, x, run), decoder)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
