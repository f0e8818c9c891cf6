"""What a row computes depends on nothing but the row: not on the cache, its neighbours, or how it was read.

The bounds are on the worst difference of any logit, relative to the largest logit. They are a few roundings:
matrix products of another shape add in another order. Measured: 6e-16 in float64, 4e-7 in float32.
"""

import itertools

import numpy as np
import pytest

from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.generate.growing import GrowingBatch
from quanta_tissu.tisslm.model import Decoder

BOUND = {"float64": 2e-15, "float32": 1e-6}
V, CONTEXT, STEPS = 13, 10, 14
TINY = {"vocab_size": V, "context_length": CONTEXT, "n_layers": 2, "d_model": 16, "n_heads": 4}
FAMILIES = {
    f"{positions}-{norm}-{placement}-{kv}kv-window{window}": ModelConfig(
        **TINY, positions=positions, norm=norm, norm_placement=placement, n_kv_heads=kv, sliding_window=window
    )
    for positions, (kv, window, norm, placement) in itertools.product(
        ["rotary", "learned", "sinusoidal", "none"],
        [(4, None, "layer_norm", "post"), (2, None, "rms_norm", "pre"), (1, 3, "layer_norm", "pre")],
    )
}
PROMPT_LENGTHS = [5, 1, 8, CONTEXT, 2]


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES.keys())
def config(request) -> ModelConfig:
    return request.param


@pytest.fixture
def model(config) -> Decoder:
    return make(config)


def make(config: ModelConfig, dtype: str = "float64") -> Decoder:
    """A model with weights large enough that every part matters."""
    decoder = Decoder.initialise(config, seed=1, dtype=dtype)
    decoder.parameters.flat[:] += np.random.default_rng(2).normal(size=decoder.parameters.flat.shape) * 0.1
    return decoder


def prompts(lengths: list[int]) -> list[list[int]]:
    rng = np.random.default_rng(4)
    return [rng.integers(0, V, length).tolist() for length in lengths]


def grow(model: Decoder, rows: list[list[int]], steps: int = STEPS, follow=None, **options) -> np.ndarray:
    """Logits (steps, B, V) of a batch that grows greedily, or by the ids (steps, B) in `follow`."""
    batch = GrowingBatch(model, rows, room=steps, **options)
    logits = [batch.logits.copy()]
    for step in range(steps - 1):
        batch.append(batch.logits.argmax(axis=-1) if follow is None else follow[step])
        logits.append(batch.logits.copy())
    return np.array(logits)


def assert_same(got: np.ndarray, want: np.ndarray) -> None:
    """Equal up to the stated bound, and the same greedy tokens."""
    scale = np.abs(want).max()
    assert scale > 0.1  # there is something to compare
    np.testing.assert_allclose(got, want, rtol=0, atol=BOUND[str(want.dtype)] * scale)
    np.testing.assert_array_equal(got.argmax(axis=-1), want.argmax(axis=-1))


def test_cached_equals_uncached(model):
    """Also beyond the context, where rows slide at different steps."""
    rows = prompts(PROMPT_LENGTHS)
    assert_same(grow(model, rows), grow(model, rows, kv_cache=False))


def test_uncached_equals_the_plain_forward_pass_over_the_last_tokens(model):
    """Nothing of the batch: every row by itself, the rule of sliding written out once more."""
    rows, want = prompts([3, 7]), []
    for row in rows:
        window, logits = list(row), []
        for _ in range(STEPS):
            logits.append(model.forward(np.array([window]))[0, -1])
            window.append(int(logits[-1].argmax()))
            if len(window) > CONTEXT:
                window = window[-CONTEXT // 2 :]
        want.append(logits)
    assert_same(grow(model, rows), np.array(want).swapaxes(0, 1))


def test_a_batch_equals_its_rows_alone(model):
    rows = prompts(PROMPT_LENGTHS)
    alone = [grow(model, [row]) for row in rows]
    assert_same(grow(model, rows), np.concatenate(alone, axis=1))


def test_reading_a_prompt_in_chunks_equals_reading_it_at_once(model):
    """Some chunks have nothing but padding in the shorter rows."""
    rows = prompts(PROMPT_LENGTHS)
    at_once = grow(model, rows, steps=4)
    for chunk in (1, 3, 100):
        assert_same(grow(model, rows, steps=4, chunk=chunk), at_once)


def test_all_of_this_holds_in_float32_within_its_own_bound(config):
    model, rows = make(config, "float32"), prompts(PROMPT_LENGTHS)
    want = grow(model, rows)
    ids = want.argmax(axis=-1)
    assert_same(grow(model, rows, kv_cache=False), want)
    assert_same(grow(model, rows, steps=4, chunk=3), want[:4])
    alone = [grow(model, [row], follow=ids[:, [i]]) for i, row in enumerate(rows)]
    assert_same(np.concatenate(alone, axis=1), want)


@pytest.mark.parametrize("kv_cache", [True, False])
def test_rows_can_be_dropped_repeated_and_reordered_at_any_time(kv_cache):
    model = make(FAMILIES["rotary-rms_norm-pre-2kv-windowNone"])
    rows = prompts(PROMPT_LENGTHS)
    full = grow(model, rows)
    ids = full.argmax(axis=-1)
    batch, present = GrowingBatch(model, rows, room=STEPS, kv_cache=kv_cache), list(range(5))
    for step, keep in enumerate([[4, 0, 1, 3, 2], [0, 1, 2, 3, 4], [0, 0, 2, 4], [1, 2, 3]] + [[0, 1]] * 10):
        assert_same(batch.logits, full[step, present])
        batch.select(keep)
        present = [present[row] for row in keep]
        batch.append(ids[step, present])
    assert len(set(present)) == 2


def test_both_engines_grow_alike(config):
    model = make(config, "float32")
    rows = prompts([4, 2])
    reference = grow(model, rows, engine=engine.get("reference"))
    fast = grow(model, rows, engine=engine.get("fast"), follow=reference.argmax(axis=-1))
    assert_same(fast, reference)


def test_a_context_of_one_token_forgets_everything_else():
    model = make(ModelConfig(**TINY | {"context_length": 1}))
    batch = GrowingBatch(model, [[1, 2, 3], [3]], room=5)
    np.testing.assert_array_equal(batch.logits[0], batch.logits[1])
    batch.append(np.array([7, 8]))
    assert_same(batch.logits, model.forward(np.array([[7], [8]]))[:, 0])


def test_of_a_prompt_longer_than_the_context_the_last_part_is_read(model):
    rows = prompts([CONTEXT + 5])
    assert_same(GrowingBatch(model, rows, room=1).logits, model.forward(np.array(rows)[:, -CONTEXT:])[:, -1])


def test_a_short_generation_gets_a_small_cache():
    model = make(ModelConfig(**TINY))
    batch = GrowingBatch(model, [[1, 2], [3]], room=3)
    assert batch._cache.capacity == 5


def test_the_engine_does_not_leak_out_of_a_step():
    model = make(ModelConfig(**TINY))
    before = engine.current()
    other = engine.get("reference" if before.name == "fast" else "fast")
    GrowingBatch(model, [[1]], room=2, engine=other).append(np.array([2]))
    assert engine.current() is before
