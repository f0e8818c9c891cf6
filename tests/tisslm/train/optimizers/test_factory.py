from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.config import ModelConfig, OptimizerConfig
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.train.optimizers import SGD, Adam, AdamW, Lion, Muon, RMSProp, make_optimizer
from quanta_tissu.tisslm.train.optimizers.factory import learning_rate_scales


@pytest.fixture
def parameters():
    config = ModelConfig(
        vocab_size=11,
        context_length=8,
        n_layers=2,
        d_model=8,
        n_heads=4,
        n_kv_heads=2,
        d_ff=12,
        bias=True,
        tie_embeddings=False,
        positions="learned",
    )
    return Decoder.initialise(config, seed=0).parameters


def settings_of(optimizer, parameters):
    """(learning-rate scale, weight decay) of every parameter that a group covers."""
    found = {}
    for name, span in parameters.slices.items():
        for group in optimizer.groups:
            if group.start <= span.start and span.stop <= group.stop:
                found[name] = (group.learning_rate_scale, group.weight_decay)
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", AdamW), ("adam", Adam), ("sgd", SGD), ("rmsprop", RMSProp), ("lion", Lion), ("muon", Muon)],
)
def test_names(parameters, name, kind):
    optimizer = make_optimizer(OptimizerConfig(name=name, learning_rate=0.25), parameters)
    assert type(optimizer) is kind
    assert optimizer.learning_rate == 0.25
    before = parameters.flat.copy()
    optimizer.step(np.ones_like(before))
    assert not np.array_equal(parameters.flat, before)


def test_every_hyperparameter_arrives(parameters):
    config = {"betas": (0.5, 0.6), "eps": 1e-3, "momentum": 0.7, "nesterov": False, "alpha": 0.8}
    for name in ("adamw", "adam", "sgd", "rmsprop", "lion", "muon"):
        optimizer = make_optimizer(OptimizerConfig(name=name, **config), parameters)
        for key, value in config.items():
            assert getattr(optimizer, key, value) == value
    muon = make_optimizer(OptimizerConfig(name="muon", muon_learning_rate=0.5, newton_schulz_steps=3), parameters)
    assert (muon.muon_learning_rate, muon.newton_schulz_steps) == (0.5, 3)


def test_biases_and_norms_are_not_decayed(parameters):
    settings = settings_of(make_optimizer(OptimizerConfig(weight_decay=0.2), parameters), parameters)
    assert set(settings) == set(parameters)
    for name, (_, decay) in settings.items():
        one_dimensional = "norm" in name or name.endswith("bias")
        assert decay == (0.0 if one_dimensional else 0.2), name
    assert {decay for _, decay in settings.values()} == {0.0, 0.2}


def test_layer_decay_counts_layers_from_the_output(parameters):
    scales = learning_rate_scales(OptimizerConfig(layer_decay=0.5), parameters.specs)
    assert scales["lm_head.weight"] == scales["model.norm.weight"] == 1
    assert scales["model.layers.1.mlp.down_proj.weight"] == 0.5
    assert scales["model.layers.0.input_layernorm.weight"] == 0.25
    assert scales["model.embed_tokens.weight"] == scales["model.embed_positions.weight"] == 0.125


def test_the_first_pattern_that_matches_wins_and_multiplies_layer_decay(parameters):
    config = OptimizerConfig(
        layer_decay=0.5, learning_rate_scales={"*.1.mlp.*": 4.0, "*.mlp.*": 8.0, "lm_head.weight": 0.0}
    )
    scales = learning_rate_scales(config, parameters.specs)
    assert scales["model.layers.1.mlp.down_proj.weight"] == 2.0
    assert scales["model.layers.0.mlp.down_proj.weight"] == 2.0
    assert scales["model.layers.0.self_attn.o_proj.weight"] == 0.25
    before = parameters["lm_head.weight"].copy()
    make_optimizer(config, parameters).step(np.ones_like(parameters.flat))
    assert np.array_equal(parameters["lm_head.weight"], before)


def test_a_pattern_that_matches_nothing_is_an_error(parameters):
    with pytest.raises(ConfigError, match=r"'embeddings' matches no parameter") as error:
        make_optimizer(OptimizerConfig(learning_rate_scales={"embeddings": 0.5}), parameters)
    assert "model.embed" in error.value.hint


def test_muon_takes_hidden_matrices_apart_and_leaves_the_rest_to_adamw(parameters):
    optimizer = make_optimizer(OptimizerConfig(name="muon", weight_decay=0.2), parameters)
    shapes = sorted((m.rows, m.columns) for m in optimizer.matrices)
    # Per layer: queries (8), keys (4), values (4), output, gate, up, down.
    assert shapes == sorted(2 * [(8, 8), (4, 8), (4, 8), (8, 8), (12, 8), (12, 8), (8, 12)])
    assert all(m.weight_decay == 0.2 for m in optimizer.matrices)
    qkv = parameters.slices["model.layers.0.self_attn.qkv_proj.weight"].start
    assert {(m.start - qkv, m.rows) for m in optimizer.matrices} >= {(0, 8), (64, 4), (96, 4)}
    covered = sum(m.rows * m.columns for m in optimizer.matrices) + sum(g.stop - g.start for g in optimizer.groups)
    assert covered == parameters.flat.size
    embedding = settings_of(optimizer, parameters)["model.embed_tokens.weight"]
    assert embedding == (1.0, 0.2)


def test_padding_between_parameters_stays_zero(parameters):
    used = np.zeros(parameters.flat.size, bool)
    for span in parameters.slices.values():
        used[span] = True
    assert not used.all()
    gradients = np.where(used, 1.0, 0.0).astype(np.float32)
    for name in ("adamw", "adam", "sgd", "rmsprop", "lion", "muon"):
        optimizer = make_optimizer(OptimizerConfig(name=name), parameters)
        for _ in range(2):
            optimizer.step(gradients)
        assert not parameters.flat[~used].any(), name
