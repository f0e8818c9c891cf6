"""Recomputing blocks changes memory and time and nothing else."""

from __future__ import annotations

import gc
import tracemalloc
from functools import partial

import numpy as np
import pytest

from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.engine import Tape
from quanta_tissu.tisslm.engine.gradient import dense
from quanta_tissu.tisslm.model import Decoder, DropoutSeeds
from quanta_tissu.tisslm.model.recorder import Recorder

SMALL = {"vocab_size": 11, "context_length": 8, "n_layers": 3, "d_model": 16, "n_heads": 4, "n_kv_heads": 2}
VARIANTS = {
    "llama": {},
    "gpt2, tied": {
        "norm": "layer_norm",
        "feed_forward": "gelu",
        "positions": "learned",
        "bias": True,
        "tie_embeddings": True,
        "n_kv_heads": 4,
    },
    "post-norm": {"norm_placement": "post", "positions": "sinusoidal", "feed_forward": "relu"},
    "dropout": {"dropout": 0.3},
}


def decoder_of(dtype=np.float32, **changes):
    return Decoder.initialise(ModelConfig.model_validate({**SMALL, **changes}), 5, dtype=dtype)


def batch(decoder, rows=3):
    ids = np.random.default_rng(0).integers(
        0, decoder.config.vocab_size, (rows, decoder.config.context_length + 1)
    )
    return ids[:, :-1], ids[:, 1:]


def gradients(decoder, *, recompute, passes=2):
    """Loss and gradients over some passes whose gradients add up."""
    buffers, losses = decoder.parameters.like(), []

    def add(name, d, fresh):
        buffers[name][...] += dense(d)

    for number in range(passes):
        tape = Tape()
        variables = {n: tape.variable(a, receive=partial(add, n)) for n, a in decoder.parameters.items()}
        seeds = DropoutSeeds(7, number) if decoder.config.dropout else None
        loss = decoder.loss(*batch(decoder), params=variables, dropout=seeds, recompute=recompute)
        tape.backward(loss)
        losses.append(float(loss.value))
    return losses, buffers.flat


@pytest.mark.parametrize("name", ["reference", "fast"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_loss_and_gradients_are_the_same_bits(name, variant):
    decoder = decoder_of(**VARIANTS[variant])
    with engine.use(name):
        losses, flat = gradients(decoder, recompute=False)
        again, recomputed = gradients(decoder, recompute=True)
    assert again == losses
    np.testing.assert_array_equal(recomputed, flat)
    assert flat.any()


def test_dropout_is_on_and_the_masks_of_blocks_differ():
    """What the test above says of dropout would be worth nothing without it."""
    assert gradients(decoder_of(dropout=0.3), recompute=True)[0] != gradients(decoder_of(), recompute=True)[0]
    seeds = DropoutSeeds(1)
    decoder = decoder_of(dropout=0.3)
    decoder.loss(*batch(decoder), params=_variables(decoder), dropout=seeds, recompute=True)
    assert seeds.calls == 1 + 3 * 3  # the embeddings; attention, its output and feed-forward in each block


def _variables(decoder):
    tape = Tape()
    return {n: tape.variable(a) for n, a in decoder.parameters.items()}


def peak(decoder, *, recompute):
    gradients(decoder, recompute=recompute)  # compiles, and fills caches
    tracemalloc.start()
    try:
        gradients(decoder, recompute=recompute)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_hardly_grows_with_depth():
    deep, deeper = (decoder_of(n_layers=n, d_model=32, context_length=64) for n in (4, 12))
    added_weights = deeper.parameters.flat.nbytes - deep.parameters.flat.nbytes
    inputs = 8 * 3 * 64 * 32 * 4  # eight more blocks keep their input (B, T, D)
    with engine.use("fast"):
        more = peak(deeper, recompute=True) - peak(deep, recompute=True) - added_weights
        more_recorded = peak(deeper, recompute=False) - peak(deep, recompute=False) - added_weights
    assert more < 1.5 * inputs
    assert more_recorded > 10 * inputs


def test_nothing_is_left_after_a_pass():
    decoder = decoder_of(d_model=32, context_length=64)
    with engine.use("fast"):
        gradients(decoder, recompute=True)
        gc.collect()
        gc.disable()  # what only a garbage collection frees would pile up between collections
        try:
            before = len(gc.get_objects())
            for _ in range(5):
                gradients(decoder, recompute=True)
            after = len(gc.get_objects())
        finally:
            gc.enable()
    assert after - before < 10  # a tape in a cycle would leave 3 objects a pass, and with its record hundreds


def test_arrays_and_recorded_passes_just_run():
    decoder = decoder_of()
    ids, _ = batch(decoder)
    expected = decoder.forward(ids)
    np.testing.assert_array_equal(decoder.forward(ids, recompute=True), expected)
    recorder = Recorder()
    logits = decoder.forward(ids, params=_variables(decoder), record=recorder, recompute=True)
    logits.tape.backward(logits)
    np.testing.assert_array_equal(logits.value, expected)
    assert (len(recorder.attention), len(recorder.hidden)) == (3, 4)


@pytest.mark.torch
@pytest.mark.parametrize("variant", VARIANTS)
def test_torch_recomputes_too(torch, variant):
    """On tensors PyTorch's own checkpointing does it, with the same masks of dropout."""
    decoder = decoder_of(np.float64, **VARIANTS[variant])
    results = []
    for recompute in (False, True):
        saved = []
        tensors = {n: torch.tensor(a, requires_grad=True) for n, a in decoder.parameters.items()}
        seeds = DropoutSeeds(3) if decoder.config.dropout else None
        with torch.autograd.graph.saved_tensors_hooks(lambda x, saved=saved: (saved.append(1), x)[1], lambda x: x):
            loss = decoder.loss(*batch(decoder), params=tensors, dropout=seeds, recompute=recompute)
        loss.backward()
        results.append((loss.item(), torch.cat([t.grad.flatten() for t in tensors.values()]), len(saved)))
    (loss, flat, saved), (loss_again, flat_again, saved_again) = results
    assert loss_again == loss
    assert torch.equal(flat_again, flat)
    assert saved_again < saved / 2
