"""Parameters by their dotted names: selection, statistics, the tree."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.inspect.parameters import histogram, select, statistics, tree
from quanta_tissu.tisslm.model import Decoder

CONFIG = ModelConfig(vocab_size=11, context_length=6, n_layers=2, d_model=16, n_heads=4, tie_embeddings=False)
PARAMETERS = Decoder.initialise(CONFIG, seed=1).parameters


def test_a_name_selects_a_parameter_or_all_below_a_part():
    assert select(PARAMETERS, "model.norm.weight") == ["model.norm.weight"]
    assert select(PARAMETERS, "model.layers.1.mlp") == [
        "model.layers.1.mlp.gate_up_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
    ]
    assert len(select(PARAMETERS, "model")) == len(PARAMETERS) - 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("model.layer.1.mpl", "model.layers.1.mlp"),
        ("model.layers.1.ml", "model.layers.1.mlp"),
        ("q", "parts: lm_head, lm_head.weight, model, model.embed_tokens, model.layers, model.norm"),
        ("down_proj", "did you mean model.layers.0.mlp.down_proj or model.layers.1.mlp.down_proj?"),
    ],
)
def test_an_unknown_name_gets_suggestions(name, hint):
    with pytest.raises(ConfigError, match=f"no parameter or part called '{name}'") as caught:
        select(PARAMETERS, name)
    assert hint in caught.value.hint


def test_statistics_are_exact():
    array = np.array([[0.0, -3.0], [4.0, 1.0]], np.float32)
    found = statistics("x", array)
    assert (found.name, found.shape, found.size) == ("x", (2, 2), 4)
    assert (found.mean, found.minimum, found.maximum, found.zeros) == (0.5, -3.0, 4.0, 0.25)
    assert found.std == pytest.approx(np.sqrt(6.25), rel=1e-12)
    assert found.norm == pytest.approx(np.sqrt(26), rel=1e-12)
    assert found.non_finite == 0


def test_broken_elements_are_counted_and_left_out():
    found = statistics("x", np.array([1.0, np.nan, np.inf, 3.0]))
    assert (found.mean, found.maximum, found.non_finite) == (2.0, 3.0, 2)
    found = statistics("x", np.array([np.nan]))
    assert (found.mean, found.std, found.norm, found.non_finite) == (None, None, None, 1)


def test_the_histogram_counts_every_finite_element():
    counts, edges = histogram(np.array([0.0, 0.1, 0.9, 1.0, np.nan]), 2)
    assert counts.tolist() == [2, 2]
    assert edges.tolist() == [0.0, 0.5, 1.0]


def test_the_tree_adds_up():
    root = tree(PARAMETERS)
    assert root.size == PARAMETERS.num_elements
    assert [child.name for child in root.children] == ["model", "lm_head"]
    layers = tree(PARAMETERS, "model.layers")
    assert [child.label for child in layers.children] == ["0", "1"]
    attention = layers.children[0].children[1]
    assert attention.name == "model.layers.0.self_attn"
    assert attention.size == sum(child.size for child in attention.children) == 48 * 16 + 16 * 16
    leaf = attention.children[0].children[0]
    assert (leaf.label, leaf.shape, leaf.size, leaf.children) == ("weight", (48, 16), 768, ())
