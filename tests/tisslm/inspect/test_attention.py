"""Attention maps: the weights that the model used, as numbers, text and a picture."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError, DataError, MissingDependencyError, TokenizerError
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.inspect.attention import as_text, attention_maps, save_png
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

TOKENIZER = CharacterTokenizer("abc \n$é")
CONFIG = ModelConfig(
    vocab_size=TOKENIZER.vocab_size,
    context_length=8,
    n_layers=3,
    d_model=16,
    n_heads=4,
    n_kv_heads=2,
    init_std=0.4,
)
DECODER = Decoder.initialise(CONFIG, seed=1)


def test_every_row_sums_to_one_and_the_future_has_no_weight():
    maps = attention_maps(DECODER, TOKENIZER, "abc\n a$")
    assert maps.weights.shape == (3, 4, 7, 7)
    np.testing.assert_allclose(maps.weights.sum(axis=-1), 1, rtol=1e-6)
    assert not np.triu(maps.weights, k=1).any()
    assert maps.tokens == ["a", "b", "c", "\\n", "·", "a", "$"]
    assert (maps.layers, maps.heads) == ([0, 1, 2], [0, 1, 2, 3])
    assert maps.ids == TOKENIZER.encode("abc\n a$")


def test_a_layer_and_a_head_can_be_chosen():
    whole = attention_maps(DECODER, TOKENIZER, "abc")
    for layer, head, chosen in ((1, 2, (1, 2)), (-1, -4, (2, 0))):
        maps = attention_maps(DECODER, TOKENIZER, "abc", layer=layer, head=head)
        assert (maps.layers, maps.heads) == ([chosen[0]], [chosen[1]])
        np.testing.assert_array_equal(maps.weights[0, 0], whole.weights[chosen])


def test_weights_are_those_of_the_first_layers_formula():
    """The first head of layer 0, computed here by the definition of attention without positions."""
    config = CONFIG.model_copy(update={"positions": "none"})
    decoder = Decoder.initialise(config, seed=1)
    ids = TOKENIZER.encode("abca")
    p = decoder.parameters
    x = p["model.embed_tokens.weight"][ids].astype(np.float64)
    x /= np.sqrt((x**2).mean(axis=-1, keepdims=True) + config.norm_eps)
    q = x @ p["model.layers.0.self_attn.qkv_proj.weight"][:4].T
    k = x @ p["model.layers.0.self_attn.qkv_proj.weight"][16:20].T
    scores = np.where(np.tri(4, dtype=bool), q @ k.T / 2, -np.inf)
    expected = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    maps = attention_maps(decoder, TOKENIZER, "abca", layer=0, head=0)
    np.testing.assert_allclose(maps.weights[0, 0], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("prompt", "chosen", "error", "message"),
    [
        ("", {}, DataError, "the prompt is empty"),
        ("abcabcabc", {}, DataError, "has 9 tokens, the model sees 8"),
        ("a", {"layer": 3}, ConfigError, "there is no layer 3: the model has 3"),
        ("a", {"head": -5}, ConfigError, "there is no head -5: the model has 4"),
        ("<|eos|>", {}, TokenizerError, "special token"),
    ],
)
def test_what_cannot_be_shown_is_said(prompt, chosen, error, message):
    with pytest.raises(error, match=message):
        attention_maps(DECODER, TOKENIZER, prompt, **chosen)


def test_the_text_has_a_shade_for_every_weight():
    weights = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0.1, 0.2, 0.7]])
    assert as_text(["a", "bc", "d"], weights).splitlines() == [
        " a │█  │ a  1.00",
        "bc │▒▒ │ a  0.50",
        " d │ ░▓│ d  0.70",
    ]


def test_long_prompts_show_the_last_columns_that_fit():
    tokens = ["abcdefghijklmnopq"] * 60
    lines = as_text(tokens, np.eye(60), width=50).splitlines()
    assert lines[0] == "(the first 48 of 60 columns do not fit and are left out)"
    assert len(lines) == 61
    assert all(len(line) <= 50 for line in lines[1:])
    assert lines[60].startswith("abcdefghijklm… │           █│ ")


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    maps = attention_maps(DECODER, TOKENIZER, "a$b$\né", layer=0)
    save_png(maps, tmp_path / "attention.png")
    content = (tmp_path / "attention.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) > 10_000


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path):
    pytest.importorskip("matplotlib")
    maps = attention_maps(DECODER, TOKENIZER, "ab", layer=0, head=0)
    with pytest.raises(DataError, match="cannot write"):
        save_png(maps, tmp_path / "absent" / "attention.png")


def test_without_matplotlib_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    maps = attention_maps(DECODER, TOKENIZER, "ab", layer=0, head=0)
    with pytest.raises(MissingDependencyError, match="needs matplotlib") as caught:
        save_png(maps, tmp_path / "attention.png")
    assert "quanta-tissu[plot]" in caught.value.hint
