"""The presets are what they claim to be."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslm.config.load import load_config
from quanta_tissu.tisslm.config.presets import list_presets
from quanta_tissu.tisslm.model import Decoder


def test_the_presets_and_what_they_say():
    presets = {preset.name: preset.description for preset in list_presets()}
    assert set(presets) == {"baby-gpt", "baby-gpt-fast", "demo", "tiny"}
    assert all(len(description) > 20 for description in presets.values())


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_every_preset_is_a_valid_configuration_with_an_end(preset):
    assert load_config(preset=preset.name, environ={}).train.max_steps


def test_baby_gpt_is_nanogpts_published_cpu_run():
    config = load_config(preset="baby-gpt", environ={})
    model, optimizer, schedule, train = config.model, config.optimizer, config.schedule, config.train
    assert (model.n_layers, model.n_heads, model.kv_heads, model.d_model, model.ff_width) == (4, 4, 4, 128, 512)
    assert (model.context_length, model.positions, model.tie_embeddings) == (64, "learned", True)
    assert (model.feed_forward, model.norm, model.norm_placement, model.norm_eps) == (
        "gelu", "layer_norm", "pre", 1e-5,
    )  # fmt: skip
    assert (model.bias, model.init, model.init_std, model.sliding_window) == (False, "gpt2", 0.02, None)
    assert {model.dropout_of(place) for place in ("embedding", "attention", "residual")} == {0.0}
    assert (optimizer.name, optimizer.learning_rate, optimizer.betas) == ("adamw", 1e-3, (0.9, 0.99))
    assert (optimizer.eps, optimizer.weight_decay, optimizer.layer_decay) == (1e-8, 0.1, 1.0)
    assert (schedule.name, schedule.warmup_steps) == ("cosine", 100)
    assert schedule.final_ratio * optimizer.learning_rate == pytest.approx(1e-4)
    assert (train.batch_size, train.gradient_accumulation, train.max_steps, train.clip_norm) == (12, 1, 2000, 1.0)
    assert (train.eval_interval, train.eval_steps) == (250, 200)
    assert (train.label_smoothing, train.z_loss, train.ema_decay, train.batch_ramp_steps) == (0.0, 0.0, None, 0)
    assert (config.tokenizer.kind, config.tokenizer.special_tokens) == ("character", False)
    assert (config.data.validation_split_ratio, config.data.windows) == (0.1, "random")


def test_baby_gpt_fast_has_the_size_the_text_and_the_vocabulary_of_baby_gpt():
    fast, baby = load_config(preset="baby-gpt-fast", environ={}), load_config(preset="baby-gpt", environ={})
    for field in ("context_length", "n_layers", "d_model", "n_heads", "kv_heads"):
        assert getattr(fast.model, field) == getattr(baby.model, field)
    assert (fast.tokenizer, fast.data.validation_split_ratio) == (baby.tokenizer, baby.data.validation_split_ratio)
    sizes = [
        sum(s.size for s in Decoder.specs(c.model.model_copy(update={"vocab_size": 65}))) for c in (fast, baby)
    ]
    assert sizes == [pytest.approx(800_000, rel=0.01)] * 2


def test_baby_gpt_fast_validates_on_the_whole_split_at_the_end():
    train = load_config(preset="baby-gpt-fast", environ={}).train
    assert train.batch_size * train.eval_steps * 64 > 111_540
    assert train.max_steps % train.eval_interval == 0


def test_demo_is_a_small_modern_model_on_text_that_every_machine_has():
    config = load_config(preset="demo", environ={})
    assert (config.model.norm, config.model.positions, config.model.feed_forward) == (
        "rms_norm", "rotary", "swiglu",
    )  # fmt: skip
    assert 1 < config.model.kv_heads < config.model.n_heads
    assert (config.tokenizer.kind, config.data.source) == ("bpe", "builtin:python")
