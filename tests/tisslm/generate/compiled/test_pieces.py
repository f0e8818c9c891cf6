"""Prompts read in pieces, at the same time, give what they give at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.generate.compiled.fast_forward import FastForward
from quanta_tissu.tisslm.generate.compiled.pieces import LinkedCache, cut
from quanta_tissu.tisslm.generate.forward import PlainForward
from quanta_tissu.tisslm.model import Decoder, KVCache

CONFIG = ModelConfig(
    vocab_size=40, context_length=256, n_layers=3, d_model=32, n_heads=4, n_kv_heads=2, sliding_window=70
)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    decoder = Decoder.initialise(CONFIG, seed=0, dtype="float64")
    decoder.parameters.flat[:] += np.random.default_rng(1).normal(size=decoder.parameters.flat.shape) * 0.1
    return decoder


@settings(max_examples=40)
@given(st.data())
def test_any_batch_and_number_of_pieces_gives_the_same(decoder, data):
    B, threads = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    before, T = data.draw(st.integers(0, 60)), data.draw(st.integers(66, 150))
    starts = np.array(data.draw(st.lists(st.integers(0, before + T - 1), min_size=B, max_size=B)))
    ids = np.random.default_rng(2).integers(0, 40, (B, before + T))
    positions = np.maximum(np.arange(before + T) - starts[:, None], 0)
    fast = engine.get("fast")
    passes = PlainForward(decoder, engine.get("reference")), FastForward(decoder, fast, threads)
    caches, logits = [p.allocate(B, before + T) for p in passes], []
    for forward, cache in zip(passes, caches, strict=True):
        for part in (slice(0, before), slice(before, before + T)):
            if part.stop > part.start:
                result = forward(ids[:, part], positions[:, part], starts, cache)
        logits.append(result)
    assert caches[0].length == caches[1].length == before + T
    scale = np.abs(logits[0]).max()
    np.testing.assert_allclose(logits[1], logits[0], rtol=0, atol=4e-15 * scale)
    for mine, want in ((caches[1].keys, caches[0].keys), (caches[1].values, caches[0].values)):
        np.testing.assert_allclose(mine, want, rtol=0, atol=1e-14 * np.abs(want).max())


@given(st.integers(1, 12), st.integers(1, 300), st.integers(0, 50), st.integers(1, 8))
def test_pieces_cover_every_token_once_and_are_never_empty(B, T, before, count):
    cache = KVCache.allocate(CONFIG, B, before + T)
    cache.length = before
    covered = np.zeros((B, T), int)
    for piece in cut(CONFIG, B, T, cache, count):
        assert covered[piece.rows, piece.tokens].size
        covered[piece.rows, piece.tokens] += 1
    assert (covered == 1).all()


def test_a_long_row_is_cut_so_that_the_first_piece_has_most_tokens():
    cache = KVCache.allocate(CONFIG, 1, 200)
    sizes = [piece.tokens.stop - piece.tokens.start for piece in cut(CONFIG, 1, 200, cache, 4)]
    assert sizes[0] > max(sizes[1:])
    assert max(sizes[1:]) - min(sizes[1:]) <= 1, "the window ends the growth of what later tokens cost"


def test_pieces_run_at_the_same_time_with_a_blas_of_one_thread(decoder, monkeypatch):
    meeting, blas = threading.Barrier(2, timeout=20), []
    update = LinkedCache.update

    def meet(self, layer, k, v):
        if layer == 0:
            meeting.wait()
            blas.append(next(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"))
        return update(self, layer, k, v)

    monkeypatch.setattr(LinkedCache, "update", meet)
    forward = FastForward(decoder, engine.get("fast"), 2)
    with threadpool_limits(limits=2, user_api="blas"):
        forward(np.ones((1, 80), int), np.arange(80)[None], np.zeros(1, int), forward.allocate(1, 80))
    assert blas == [1, 1]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_piece_that_fails_stops_the_others(decoder, monkeypatch, failing):
    update = LinkedCache.update

    def fail(self, layer, k, v):
        if layer == 1 and (self._previous is None) == (failing == 0):
            raise MemoryError("no room")
        return update(self, layer, k, v)

    monkeypatch.setattr(LinkedCache, "update", fail)
    forward = FastForward(decoder, engine.get("fast"), 2)
    with pytest.raises(MemoryError, match="no room"):
        forward(np.ones((1, 80), int), np.arange(80)[None], np.zeros(1, int), forward.allocate(1, 80))
