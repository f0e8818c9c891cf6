"""`tissu inspect` shows parameters by name and attention by prompt."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.config import Config, ModelConfig
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

TOKENIZER = CharacterTokenizer("abc ")
CONFIG = ModelConfig(vocab_size=8, context_length=8, n_layers=3, d_model=16, n_heads=4, init_std=0.4)


@pytest.fixture
def checkpoint(tmp_path):
    artifact.write(tmp_path / "best", Decoder.initialise(CONFIG, seed=1), TOKENIZER, Config())
    return str(tmp_path / "best")


@pytest.fixture
def broken(tmp_path):
    """A model of which training has made nonsense."""
    decoder = Decoder.initialise(CONFIG, seed=1)
    decoder.parameters["model.layers.0.mlp.down_proj.weight"][0, 0] = np.nan
    artifact.write(tmp_path / "broken", decoder, TOKENIZER, Config())
    return str(tmp_path / "broken")


def test_the_overview_has_the_tree_and_the_summary(tissu, checkpoint):
    outcome = tissu("inspect", checkpoint)
    assert outcome.code == 0, outcome.err
    assert "LanguageModel of" in outcome.out
    assert "│   └── 0 … 2, each  4,128" in outcome.out
    assert "down_proj.weight  16 × 64 = 1,024" in outcome.out
    assert "norm.weight  16\n" in outcome.out
    assert "FLOPs/token" in outcome.out


def test_layers_that_differ_are_not_shown_as_one(tissu, checkpoint, monkeypatch):
    from quanta_tissu.cli.inspect import _collapsed
    from quanta_tissu.tisslm.inspect.parameters import ParameterNode

    def layer(i, width):
        return ParameterNode(f"layers.{i}", width, None, (ParameterNode(f"layers.{i}.w", width, (width,), ()),))

    found = _collapsed(ParameterNode("layers", 9, None, (layer(0, 2), layer(1, 2), layer(2, 3), layer(3, 2))))
    assert [node.label for node in found] == ["0 … 1, each", "2", "3"]


def test_the_overview_as_json(tissu, checkpoint):
    report = json.loads(tissu("inspect", checkpoint, "--json").out)
    assert report["parameters"] == sum(part["parameters"] for part in report["parts"])
    assert report["shapes"]["model.layers.2.mlp.down_proj.weight"] == [16, 64]
    assert report["model"]["n_layers"] == 3


def test_a_part_has_a_line_for_each_parameter(tissu, checkpoint):
    outcome = tissu("inspect", checkpoint, "model.layers.0.mlp")
    assert outcome.code == 0, outcome.err
    head, up, down = outcome.out.splitlines()
    assert head.split() == ["parameter", "shape", "mean", "std", "min", "max", "norm", "zeros"]
    assert up.split()[0] == "model.layers.0.mlp.gate_up_proj.weight"
    assert down.split()[:4] == ["model.layers.0.mlp.down_proj.weight", "16", "×", "64"]


def test_a_broken_model_can_still_be_looked_at(tissu, broken):
    outcome = tissu("inspect", broken, "model.layers.0.mlp")
    assert "down_proj.weight has 1 elements that are not finite" in outcome.err
    outcome = tissu("inspect", broken, "--attention", "ab", "--layer", "1", "--head", "0")
    assert outcome.code == 0, outcome.err
    assert "?" in outcome.out
    report = json.loads(tissu("inspect", broken, "--attention", "ab", "--layer", "1", "--json").out)
    assert report["weights"][0][0] == [[None, None], [None, None]]


def test_a_single_parameter_has_a_histogram_and_its_statistics(tissu, checkpoint):
    outcome = tissu("inspect", checkpoint, "model.embed_tokens.weight")
    assert outcome.out.count("│") == 2
    (entry,) = json.loads(tissu("inspect", checkpoint, "model.embed_tokens.weight", "--json").out)["parameters"]
    assert entry["shape"] == [8, 16]
    assert entry["std"] == pytest.approx(0.4, rel=0.2)


def test_attention_as_text_json_and_picture(tissu, checkpoint, tmp_path):
    outcome = tissu("inspect", checkpoint, "--attention", "abc a", "--layer", "-1", "--head", "0")
    assert outcome.code == 0, outcome.err
    assert "layer 2, head 0" in outcome.out
    assert len(outcome.out.splitlines()) == 3 + 5
    report = json.loads(tissu("inspect", checkpoint, "--attention", "abc a", "--json").out)
    assert np.array(report["weights"]).shape == (3, 4, 5, 5)
    assert report["tokens"] == ["a", "b", "c", "·", "a"]
    pytest.importorskip("matplotlib")
    outcome = tissu("inspect", checkpoint, "--attention", "abc", "--png", str(tmp_path / "a.png"))
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["model.layers.0.mpl"], "did you mean model.layers.0.mlp", 2),
        (["--layer", "1"], "give --attention PROMPT with them", 2),
        (["model", "--attention", "a"], "give either a NAME ('model') or --attention", 2),
        (["--attention", "a", "--json", "--png", "x.png"], "give one of them", 2),
        (["--attention", "a", "--head", "9"], "there is no head 9", 2),
        (["--attention", ""], "the prompt is empty", 1),
    ],
)
def test_what_cannot_be_shown_is_said(tissu, checkpoint, arguments, message, code):
    outcome = tissu("inspect", checkpoint, *arguments)
    assert outcome.code == code
    assert message in outcome.err
    assert outcome.out == ""
