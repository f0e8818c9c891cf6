"""Prompts through the compiled pass give what the readable code gives, however they are cut and shared out.

The bound is that of `test_forward.py`, which also draws prompts; here are longer ones.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.generate.compiled import forward as compiled_forward
from quanta_tissu.tisslm.generate.compiled import prompt, prompt_kernels
from quanta_tissu.tisslm.generate.compiled.fast_forward import FastForward
from quanta_tissu.tisslm.generate.compiled.forward import CompiledForward
from quanta_tissu.tisslm.generate.forward import PlainForward
from quanta_tissu.tisslm.inspect.gradcheck_models import label, pairwise_variants
from quanta_tissu.tisslm.model import Decoder, KVCache

CONFIG = ModelConfig(
    vocab_size=40, context_length=256, n_layers=3, d_model=32, n_heads=4, n_kv_heads=2, sliding_window=70
)
ROUNDING = {"float64": 4e-15, "float32": 2e-6}  # of the largest logit


def make(config: ModelConfig, dtype: str = "float64") -> Decoder:
    decoder = Decoder.initialise(config, seed=0, dtype=dtype)
    decoder.parameters.flat[:] += np.random.default_rng(1).normal(size=decoder.parameters.flat.shape) * 0.1
    return decoder


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return make(CONFIG)


def assert_same_as_reference(
    decoder: Decoder, B: int, lengths: list[int], starts: np.ndarray, threads: int
) -> None:
    """Read `lengths` tokens one after the other on both engines; compare logits, keys and values."""
    total, dtype = sum(lengths), str(decoder.parameters.dtype)
    ids = np.random.default_rng(2).integers(0, decoder.config.vocab_size, (B, total))
    positions = np.maximum(np.arange(total) - starts[:, None], 0)
    passes = PlainForward(decoder, engine.get("reference")), FastForward(decoder, engine.get("fast"), threads)
    caches, logits = [forward.allocate(B, total) for forward in passes], []
    for forward, cache in zip(passes, caches, strict=True):
        for length in lengths:
            part = slice(cache.length, cache.length + length)
            result = forward(ids[:, part], positions[:, part], starts, cache)
        logits.append(result)
    assert caches[0].length == caches[1].length == total
    bound = ROUNDING[dtype] * max(1, decoder.config.d_model / 40) ** 0.5  # roundings of sums of so many terms
    np.testing.assert_allclose(logits[1], logits[0], rtol=0, atol=bound * np.abs(logits[0]).max())
    there = np.arange(total) >= starts[:, None]
    for got, want in ((caches[1].keys, caches[0].keys), (caches[1].values, caches[0].values)):
        np.testing.assert_allclose(got[:, there], want[:, there], rtol=0, atol=3 * bound * np.abs(want).max())


@settings(max_examples=60)
@given(st.data())
def test_any_batch_any_chunks_and_any_number_of_threads(decoder, data):
    B, threads = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(1, 120), min_size=1, max_size=2))
    starts = np.array(data.draw(st.lists(st.integers(0, sum(lengths) - 1), min_size=B, max_size=B)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_forward, "FEW", data.draw(st.sampled_from([1, 32])))
        patch.setattr(prompt, "CHUNK", data.draw(st.sampled_from([1, 3, 50, 512])))
        assert_same_as_reference(decoder, B, lengths, starts, threads)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", pairwise_variants(), ids=label)
def test_every_architecture(variant, dtype):
    config = ModelConfig(vocab_size=19, context_length=200, n_layers=2, d_model=40, n_heads=4, d_ff=50, **variant)
    assert_same_as_reference(make(config, dtype), 3, [70, 1, 90], np.array([0, 100, 3]), threads=2)


def test_a_model_of_one_block():
    config = CONFIG.model_copy(update={"n_layers": 1})
    assert_same_as_reference(make(config), 2, [100], np.array([0, 40]), threads=2)


def test_widths_of_several_blocks_and_parts_of_sums():
    """Sums longer than a part, more rows than a block has, rows that would compete for the same places."""
    config = ModelConfig(vocab_size=70, context_length=128, n_layers=2, d_model=512, n_heads=2, d_ff=1400)
    assert_same_as_reference(make(config), 1, [80], np.zeros(1, np.int64), threads=2)


def test_more_rows_than_a_pass_reads_at_once(decoder):
    """Each a token at a time: a batch of 150 goes on by one, then by two."""
    assert_same_as_reference(decoder, 150, [1, 1, 2], np.repeat([0, 1, 2], 50), threads=2)


def test_threads_and_neighbours_change_no_bit_of_what_is_stored(decoder):
    decoder = make(CONFIG, "float32")
    ids = np.random.default_rng(3).integers(0, 40, (3, 100))
    stored = []
    for threads, rows in ((1, slice(0, 3)), (2, slice(0, 3)), (3, slice(0, 3)), (2, slice(1, 2))):
        some = ids[rows]
        cache = KVCache.allocate(CONFIG, len(some), 100)
        positions = np.tile(np.arange(100), (len(some), 1))
        CompiledForward(decoder, threads)(some, positions, np.zeros(len(some), np.int64), cache)
        row = 1 - rows.start
        # The last token's in the last layer come with its logits, by the pass over a few tokens.
        stored.append(cache.keys[:, row, :99].tobytes() + cache.values[:, row, :99].tobytes())
    assert len(set(stored)) == 1


def test_without_a_cache_nothing_is_kept(decoder):
    ids, positions, starts = np.ones((1, 90), int), np.arange(90)[None], np.zeros(1, int)
    forward = FastForward(decoder, engine.get("fast"), 2)
    cached = forward(ids, positions, starts, forward.allocate(1, 90)).copy()
    np.testing.assert_array_equal(forward(ids, positions, starts, None), cached)


def test_buffers_do_not_grow_with_the_prompt(decoder):
    forward = CompiledForward(decoder, 2)
    cache = KVCache.allocate(CONFIG, 4, dtype="float64")
    forward(np.ones((4, 250), int), np.tile(np.arange(250), (4, 1)), np.zeros(4, int), cache)
    assert len(forward._prompt._work.x) <= prompt.CHUNK


def test_damaged_weights_show():
    for value in (np.nan, np.inf):
        decoder = make(CONFIG, "float32")
        decoder.parameters["model.layers.0.self_attn.qkv_proj.weight"][3] = value
        ids, positions = np.ones((1, 80), int), np.arange(80)[None]
        logits = CompiledForward(decoder, 2)(ids, positions, np.zeros(1, int), KVCache.allocate(CONFIG, 1, 80))
        assert not np.isfinite(logits).any()


@pytest.mark.parametrize("failing", [0, 1])
def test_a_thread_that_fails_stops_the_others_and_the_next_pass_is_right(decoder, monkeypatch, failing):
    real, entered = prompt_kernels.prompt_pass, threading.Event()

    def enter(worker, *arguments):
        if worker == failing:
            entered.wait(10)
            raise MemoryError("no room")
        entered.set()
        real(worker, *arguments)

    forward = FastForward(decoder, engine.get("fast"), 2)
    arguments = np.ones((1, 80), int), np.arange(80)[None], np.zeros(1, int)
    want = forward(*arguments, forward.allocate(1, 80)).copy()
    with monkeypatch.context() as patch:
        patch.setattr(prompt_kernels, "prompt_pass", enter)
        cache = forward.allocate(1, 80)
        with pytest.raises(MemoryError, match="no room"):
            forward(*arguments, cache)
        assert cache.length == 0
    np.testing.assert_array_equal(forward(*arguments, forward.allocate(1, 80)), want)
