"""The decoder: shapes, counts, causality, caching and errors, for every architecture."""

import itertools

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model import Decoder, DropoutSeeds, KVCache, Recorder

BABY_GPT = ModelConfig(
    vocab_size=65,
    context_length=64,
    n_layers=4,
    d_model=128,
    n_heads=4,
    norm="layer_norm",
    positions="learned",
    feed_forward="gelu",
)
TINY = {"vocab_size": 11, "context_length": 12, "n_layers": 2, "d_model": 16, "n_heads": 4}
VARIANTS = [
    ModelConfig(
        **TINY, positions=positions, norm=norm, norm_placement=placement, n_kv_heads=kv, sliding_window=window
    )
    for positions, (norm, placement), (kv, window) in itertools.product(
        ["rotary", "learned", "sinusoidal", "none"],
        [("rms_norm", "pre"), ("layer_norm", "post")],
        [(None, None), (2, None), (1, 3)],
    )
]


def name(config: ModelConfig) -> str:
    return f"{config.positions}-{config.norm}-{config.norm_placement}-{config.kv_heads}-{config.sliding_window}"


def ids(*shape: int, vocabulary: int = 11) -> np.ndarray:
    return np.random.default_rng(3).integers(0, vocabulary, shape)


def decoder(config: ModelConfig, dtype=np.float64) -> Decoder:
    """With weights large enough that every part matters."""
    model = Decoder.initialise(config, seed=1, dtype=dtype)
    model.parameters.flat[:] += np.random.default_rng(2).normal(size=model.parameters.flat.shape) * 0.1
    return model


def test_baby_gpt_has_nanogpts_parameter_count():
    model = Decoder.initialise(BABY_GPT, seed=1)
    positions = model.parameters["model.embed_positions.weight"].size
    assert (model.parameters.num_elements - positions, positions) == (795_904, 8_192)
    assert model.summary().parameters == model.parameters.num_elements


def test_a_fresh_model_knows_nothing():
    """Small initial weights give nearly uniform predictions: the loss is close to ln V."""
    model = Decoder.initialise(BABY_GPT, seed=1)
    tokens = ids(12, 65, vocabulary=65)
    assert model.loss(tokens[:, :-1], tokens[:, 1:]) == pytest.approx(np.log(65), abs=0.03)


@pytest.mark.parametrize("config", VARIANTS, ids=name)
def test_the_future_does_not_change_the_past(config):
    model, tokens = decoder(config), ids(2, 9)
    changed = tokens.copy()
    changed[:, 5:] = (changed[:, 5:] + 1) % 11
    np.testing.assert_array_equal(model.forward(tokens)[:, :5], model.forward(changed)[:, :5])
    assert np.abs(model.forward(tokens)[:, 5:] - model.forward(changed)[:, 5:]).min(axis=-1).max() > 0


@pytest.mark.parametrize("config", VARIANTS, ids=name)
def test_the_last_logits_alone_are_the_last_logits(config):
    model, tokens = decoder(config), ids(2, 9)
    last = model.forward(tokens, last_only=True)
    np.testing.assert_allclose(last, model.forward(tokens)[:, -1:], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("config", VARIANTS, ids=name)
def test_the_cache_changes_nothing(config):
    model, tokens = decoder(config), ids(2, 9)
    cache = KVCache.allocate(config, batch=2, dtype=np.float64)
    pieces = [model.forward(piece, cache=cache) for piece in np.split(tokens, [4, 5, 8], axis=1)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), model.forward(tokens), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("config", VARIANTS, ids=name)
def test_padding_changes_nothing(config):
    """A row padded on the left, with its own positions, gives the logits of the row alone."""
    model, tokens = decoder(config), ids(1, 6)
    padded = np.concatenate([np.zeros((1, 3), int), tokens], axis=1)
    real = np.arange(9)[None] >= 3
    positions = np.maximum(np.arange(9)[None] - 3, 0)
    logits = model.forward(padded, padding=real, positions=positions)
    np.testing.assert_allclose(logits[:, 3:], model.forward(tokens), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("config", VARIANTS, ids=name)
def test_both_engines_agree(config):
    model, tokens = decoder(config, np.float32), ids(2, 9)
    with engine.use("reference"):
        expected = model.forward(tokens)
    with engine.use("fast"):
        actual = model.forward(tokens)
    assert actual.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6 * np.abs(expected).max())


def test_a_window_hides_what_lies_before_it():
    config = ModelConfig(**{**TINY, "n_layers": 1}, sliding_window=3)
    model, tokens = decoder(config), ids(1, 9)
    changed = tokens.copy()
    changed[:, 2] = (changed[:, 2] + 1) % 11
    same = np.isclose(model.forward(tokens), model.forward(changed), rtol=1e-12).all(axis=(0, 2))
    assert same.tolist() == [True, True, False, False, False, True, True, True, True]


def test_only_order_blind_models_ignore_order():
    """Without positions, and looking at the last token only, swapping two earlier tokens changes nothing."""
    tokens = ids(1, 6)
    swapped = tokens[:, [1, 0, 2, 3, 4, 5]]
    assert tokens[0, 0] != tokens[0, 1]
    for positions in ("rotary", "learned", "sinusoidal", "none"):
        model = decoder(ModelConfig(**{**TINY, "n_layers": 1}, positions=positions))
        same = np.allclose(model.forward(tokens)[:, -1], model.forward(swapped)[:, -1], rtol=1e-10)
        assert same == (positions == "none")


def test_dropout_repeats_with_its_seeds_and_only_trains():
    model, tokens = decoder(ModelConfig(**TINY, dropout=0.3)), ids(2, 9)
    first, again, other = (model.forward(tokens, dropout=DropoutSeeds(7, step)) for step in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    np.testing.assert_array_equal(model.forward(tokens), model.forward(tokens))


@pytest.mark.parametrize("place", ["embedding", "attention", "residual"])
def test_every_place_of_dropout_has_its_own_probability(place):
    settings = TINY | {f"{place}_dropout": 0.5}
    everywhere_else = TINY | {"dropout": 0.5, f"{place}_dropout": 0.0}
    plain, alone, others = (
        decoder(ModelConfig(**s)).forward(ids(2, 6), dropout=DropoutSeeds(1))
        for s in (TINY, settings, everywhere_else)
    )
    assert not np.allclose(alone, plain)
    assert not np.allclose(others, plain)
    assert not np.allclose(others, alone)


def test_internals_can_be_recorded():
    config = ModelConfig(**TINY, n_kv_heads=2, sliding_window=4)
    model, record = decoder(config), Recorder()
    logits = model.forward(ids(2, 9), record=record)
    assert [w.shape for w in record.attention] == [(2, 4, 9, 9)] * 2
    assert [h.shape for h in record.hidden] == [(2, 9, 16)] * 3
    for weights in record.attention:
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-12)
        assert not np.triu(weights, 1).any()
        assert not np.tril(weights, -4).any()
    np.testing.assert_array_equal(logits, model.forward(ids(2, 9)))


def test_targets_of_minus_100_do_not_count():
    model, tokens = decoder(ModelConfig(**TINY)), ids(2, 9)
    targets = ids(2, 9)[:, ::-1].copy()
    masked = targets.copy()
    masked[1] = -100
    assert model.loss(tokens, masked) == pytest.approx(model.loss(tokens[:1], targets[:1]), rel=1e-12)


def test_the_summary_counts_every_part():
    summary = Decoder.initialise(BABY_GPT, seed=1).summary()
    rows = {part.name: part for part in summary.parts}
    assert rows["feed-forward"].parameters == 4 * 2 * 128 * 512
    assert rows["attention projections"].flops == 2 * 4 * 4 * 128 * 128
    assert rows["attention scores"].flops == 2 * 2 * 64 * 128 * 4
    assert rows["output head"].flops == 2 * 65 * 128
    assert summary.nbytes == 4 * summary.parameters
    assert "804,096" in str(summary)


def test_ids_outside_the_vocabulary_are_refused():
    with pytest.raises(ConfigError, match=r"lie in \[0, 11\); they range from 3 to 11"):
        decoder(ModelConfig(**TINY)).forward(np.array([[3, 11]]))


def test_ids_need_two_dimensions():
    with pytest.raises(ConfigError, match=r"\(batch, time\); they have shape \(2,\)"):
        decoder(ModelConfig(**TINY)).forward(np.array([1, 2]))


def test_more_tokens_than_the_context_are_refused():
    model = decoder(ModelConfig(**TINY))
    with pytest.raises(ConfigError, match="position 12 is outside the context of 12 tokens"):
        model.forward(ids(1, 13))


def test_positions_before_the_first_are_refused():
    with pytest.raises(ConfigError, match="position -1 is outside"):
        decoder(ModelConfig(**TINY)).forward(ids(1, 2), positions=np.array([[-1, 0]]))


@pytest.mark.parametrize("shape", [(1, 2), (2, 3), (3,)])
def test_padding_of_another_shape_is_refused(shape):
    with pytest.raises(ConfigError, match=r"padding has shape .* it must be \(1, 3\)"):
        decoder(ModelConfig(**TINY)).forward(ids(1, 3), padding=np.ones(shape, bool))


def test_the_vocabulary_must_be_known():
    with pytest.raises(ConfigError, match=r"vocab_size is not set"):
        Decoder.initialise(ModelConfig(), seed=1)
