"""The compiled pass gives the logits of the decoder's forward pass, for every architecture.

The bound is on the worst difference of any logit, in units of what a logit is when its terms do not cancel: the
norm of the output matrix's longest row times that of a normalised vector. A few roundings are allowed, since sums
are taken in another order. Measured over thousands of architectures: 3e-16 in float64, 2e-7 in float32.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.generate.compiled.forward import CompiledForward
from quanta_tissu.tisslm.model import Decoder, KVCache

BOUND = {"float64": 2e-15, "float32": 1e-6}
CONTEXT = 24


@st.composite
def architectures(draw) -> ModelConfig:
    """Any architecture of a few tokens' width; sizes that are no multiples of anything a kernel likes."""
    heads = draw(st.sampled_from([1, 2, 3, 4, 6]))
    positions = draw(st.sampled_from(["rotary", "learned", "sinusoidal", "none"]))
    head_dim = draw(st.sampled_from([2, 4, 6, 10]))
    return ModelConfig(
        vocab_size=draw(st.integers(2, 70)),
        context_length=CONTEXT,
        n_layers=draw(st.integers(1, 3)),
        d_model=heads * head_dim,
        n_heads=heads,
        n_kv_heads=draw(st.sampled_from([k for k in range(1, heads + 1) if heads % k == 0])),
        d_ff=draw(st.integers(1, 40)),
        feed_forward=draw(st.sampled_from(["swiglu", "gelu", "gelu_tanh", "relu"])),
        norm=draw(st.sampled_from(["rms_norm", "layer_norm"])),
        norm_placement=draw(st.sampled_from(["pre", "post"])),
        norm_eps=draw(st.sampled_from([1e-5, 1e-2])),
        positions=positions,
        rope_interleaved=draw(st.booleans()),
        rope_theta=draw(st.sampled_from([100.0, 10_000.0])),
        sliding_window=draw(st.one_of(st.none(), st.integers(1, CONTEXT))),
        bias=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
    )


def make(config: ModelConfig, dtype: str, seed: int = 1) -> Decoder:
    """A model with weights large enough that every part matters, biases and norms included."""
    decoder = Decoder.initialise(config, seed=seed, dtype=dtype)
    decoder.parameters.flat[:] += np.random.default_rng(seed).normal(size=decoder.parameters.flat.shape) * 0.2
    return decoder


def reference(decoder: Decoder, ids: np.ndarray, start: int) -> np.ndarray:
    """Logits (T, V) of one row from `start`, which is no padding, by the readable code and without a cache."""
    with engine.use("reference"):
        return decoder.forward(ids[None, start:])[0]


def assert_close(got: np.ndarray, want: np.ndarray, decoder: Decoder) -> None:
    head = decoder.parameters["model.embed_tokens.weight" if decoder.config.tie_embeddings else "lm_head.weight"]
    scale = np.linalg.norm(head, axis=1).max() * decoder.config.d_model**0.5
    np.testing.assert_allclose(got, want, rtol=0, atol=BOUND[str(want.dtype)] * scale)


@settings(max_examples=100)
@given(st.data())
def test_any_architecture_batch_padding_and_chunks_give_the_decoders_logits(data):
    config = data.draw(architectures())
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    decoder = make(config, dtype, seed=data.draw(st.integers(0, 99)))
    B = data.draw(st.integers(1, 6))
    chunks = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    total = sum(chunks)
    starts = np.array(data.draw(st.lists(st.integers(0, total - 1), min_size=B, max_size=B)))
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (B, total))
    compiled = CompiledForward(decoder, threads=data.draw(st.integers(1, 3)))
    cache = KVCache.allocate(config, B, data.draw(st.integers(total, CONTEXT)), dtype)
    positions = np.maximum(np.arange(total) - starts[:, None], 0)
    for chunk in chunks:
        part = slice(cache.length, cache.length + chunk)
        got = compiled(ids[:, part], positions[:, part], starts, cache)
        for row in range(B):
            if starts[row] < part.stop:
                assert_close(got[row], reference(decoder, ids[row, : part.stop], starts[row])[-1], decoder)


def test_keys_and_values_are_stored_as_the_decoder_stores_them():
    config = ModelConfig(vocab_size=11, context_length=8, n_layers=2, d_model=12, n_heads=3, n_kv_heads=1)
    decoder = make(config, "float64")
    ids = np.random.default_rng(1).integers(0, 11, (2, 5))
    want, got = (KVCache.allocate(config, 2, 8, "float64") for _ in range(2))
    decoder.forward(ids, cache=want)
    CompiledForward(decoder, 2)(ids, np.tile(np.arange(5), (2, 1)), np.zeros(2, np.int64), got)
    assert got.length == want.length == 5
    np.testing.assert_allclose(got.keys, want.keys, rtol=0, atol=4e-15 * np.abs(want.keys).max())
    np.testing.assert_allclose(got.values, want.values, rtol=0, atol=4e-15 * np.abs(want.values).max())


def test_the_same_pass_gives_the_same_bits():
    config = ModelConfig(vocab_size=50, context_length=64, n_layers=2, d_model=48, n_heads=4)
    decoder = make(config, "float32")
    ids = np.random.default_rng(2).integers(0, 50, (1, 20))
    results = []
    for _ in range(20):
        cache = KVCache.allocate(config, 1, 20)
        logits = CompiledForward(decoder, 3)(ids, np.arange(20)[None], np.zeros(1, np.int64), cache)
        results.append(logits.tobytes() + cache.keys.tobytes())
    assert len(set(results)) == 1


def test_a_row_does_not_see_the_rows_beside_it_to_the_last_bit():
    """For the same number of tokens; other numbers multiply in another order."""
    config = ModelConfig(vocab_size=50, context_length=64, n_layers=2, d_model=48, n_heads=4)
    decoder = make(config, "float32")
    ids = np.random.default_rng(3).integers(0, 50, (4, 12))
    results = []
    for others in (ids, np.zeros_like(ids)):
        others[2] = ids[2]
        starts = np.array([0, 0, 3, 0])
        cache, compiled = KVCache.allocate(config, 4, 12), CompiledForward(decoder, 2)
        for t in range(12):
            positions = np.maximum(t - starts, 0)[:, None]
            logits = compiled(others[:, t : t + 1], positions, starts, cache)[2].copy()
        results.append(logits.tobytes())
    assert results[0] == results[1]


def test_no_weight_is_copied():
    decoder = make(ModelConfig(vocab_size=50, context_length=8, n_layers=1, d_model=16, n_heads=2), "float32")
    assert CompiledForward(decoder, 1)._model.weights is decoder.parameters.flat


def test_damaged_weights_show():
    config = ModelConfig(vocab_size=50, context_length=8, n_layers=2, d_model=16, n_heads=2)
    for value in (np.nan, np.inf):
        decoder = make(config, "float32")
        decoder.parameters["model.layers.0.self_attn.qkv_proj.weight"][3] = value
        logits = CompiledForward(decoder, 2)(
            np.array([[1, 2]]), np.array([[0, 1]]), np.zeros(1, np.int64), KVCache.allocate(config, 1, 4)
        )
        assert not np.isfinite(logits).any()


@pytest.mark.parametrize("length", [1, 2, 3, 1000])
def test_long_and_short_sequences_are_cut_among_threads(length):
    config = ModelConfig(vocab_size=20, context_length=1001, n_layers=1, d_model=32, n_heads=2, n_kv_heads=1)
    decoder = make(config, "float64")
    ids = np.random.default_rng(4).integers(0, 20, (1, length + 1))
    cache = KVCache.allocate(config, 1, length + 1, "float64")
    decoder.forward(ids[:, :length], cache=cache)
    logits = CompiledForward(decoder, 4)(ids[:, length:], np.array([[length]]), np.zeros(1, np.int64), cache)
    assert_close(logits[0], reference(decoder, ids[0], 0)[-1], decoder)
