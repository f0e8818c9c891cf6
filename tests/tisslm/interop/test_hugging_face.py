"""Hugging Face checkpoints: theirs compute the same here, and what cannot is refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.interop import hugging_face
from quanta_tissu.tisslm.interop.hugging_face import model_config, read_checkpoint
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

LLAMA = {
    "vocab_size": 23,
    "hidden_size": 16,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 12,
    "rms_norm_eps": 1e-5,
}
GPT2 = {"vocab_size": 23, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 12}

# -- real models of transformers ---------------------------------------------------------------------------------


def random_model(torch, transformers, name, settings):
    """A model whose every parameter, norms and biases too, is random and large enough to matter."""
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM")(
        getattr(transformers, f"{name}Config")(**settings)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def logits(torch, model, ids):
    with torch.no_grad():
        return model(torch.from_numpy(ids)).logits.float().numpy()


def assert_same(torch, model, directory, tolerance=1e-5):
    ids = np.random.default_rng(0).integers(0, 23, (2, 12))
    expected = logits(torch, model, ids)
    ours = read_checkpoint(directory).forward(ids)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Llama", LLAMA),
        ("Llama", LLAMA | {"tie_word_embeddings": True, "num_key_value_heads": None, "rms_norm_eps": 1e-3}),
        ("Llama", LLAMA | {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 1}),
        ("Llama", LLAMA | {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}}),
        ("Mistral", LLAMA | {"sliding_window": 3}),
        ("Mistral", LLAMA | {"sliding_window": None}),
        ("GPT2", GPT2),
        ("GPT2", GPT2 | {"activation_function": "gelu", "n_inner": 24, "layer_norm_epsilon": 1e-3}),
        ("GPT2", GPT2 | {"activation_function": "relu", "tie_word_embeddings": False}),
        ("GPT2", GPT2 | {"activation_function": "gelu_pytorch_tanh", "reorder_and_upcast_attn": True}),
    ],
)
def test_a_model_of_theirs_computes_the_same_here(tmp_path, torch, transformers, name, settings):
    model = random_model(torch, transformers, name, settings)
    model.save_pretrained(tmp_path)
    assert_same(torch, model, tmp_path)


@pytest.mark.torch
def test_weights_in_several_files_and_in_bfloat16_are_read(tmp_path, torch, transformers):
    model = random_model(torch, transformers, "Llama", LLAMA).to(torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert_same(torch, transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype="float32"), tmp_path)


@pytest.mark.torch
def test_names_of_older_releases_are_understood(tmp_path, torch, transformers):
    """GPT-2's first checkpoint has no prefix and stores the causal mask; Llama's stored the rotary frequencies."""
    model = random_model(torch, transformers, "GPT2", GPT2)
    model.save_pretrained(tmp_path / "gpt2")
    file = tmp_path / "gpt2" / "model.safetensors"
    old = {name.removeprefix("transformer."): tensor for name, tensor in artifact.load_tensors(file).items()}
    old["lm_head.weight"] = old["wte.weight"]
    old |= {"h.0.attn.bias": np.ones((1, 1, 12, 12), bool), "h.0.attn.masked_bias": np.float32(-1e4)[None]}
    artifact.save_tensors(file, old)
    assert_same(torch, model, tmp_path / "gpt2")

    model = random_model(torch, transformers, "Llama", LLAMA)
    model.save_pretrained(tmp_path / "llama")
    file = tmp_path / "llama" / "model.safetensors"
    frequencies = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, "f4")}
    artifact.save_tensors(file, artifact.load_tensors(file) | frequencies)
    assert_same(torch, model, tmp_path / "llama")


@pytest.mark.torch
def test_what_is_exported_returns(tmp_path, torch, transformers):
    decoder = Decoder.initialise(
        ModelConfig(vocab_size=9, context_length=12, n_layers=2, d_model=16, n_heads=4, rope_interleaved=True),
        seed=1,
    )
    hugging_face.export(tmp_path / "x", decoder, CharacterTokenizer("abcde"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "x")
    theirs.save_pretrained(tmp_path / "again")
    ids = np.arange(9)[None]
    np.testing.assert_allclose(read_checkpoint(tmp_path / "again").forward(ids), decoder.forward(ids), atol=1e-6)


def test_an_architecture_without_a_counterpart_is_not_exported(tmp_path):
    config = ModelConfig(vocab_size=9, context_length=12, n_layers=1, d_model=16, n_heads=4, positions="none")
    with pytest.raises(CheckpointError, match="no counterpart at Hugging Face"):
        hugging_face.export(tmp_path / "x", Decoder.initialise(config, seed=1), CharacterTokenizer("abcde"))


# -- config.json -------------------------------------------------------------------------------------------------


def test_missing_keys_have_the_defaults_of_transformers():
    assert model_config({"model_type": "llama"}, origin="x").model_dump() | {} == (
        ModelConfig(
            vocab_size=32000,
            context_length=2048,
            n_layers=32,
            d_model=4096,
            n_heads=32,
            d_ff=11008,
            norm_eps=1e-6,
            tie_embeddings=False,
            attention_dropout=0.0,
        ).model_dump()
    )
    mistral = model_config({"model_type": "mistral"}, origin="x")
    assert (mistral.kv_heads, mistral.sliding_window, mistral.context_length) == (8, 4096, 131072)
    gpt2 = model_config({"model_type": "gpt2"}, origin="x")
    assert (gpt2.ff_width, gpt2.feed_forward, gpt2.dropout_of("residual")) == (3072, "gelu_tanh", 0.1)
    assert gpt2.tie_embeddings


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["Llama", "Mistral", "GPT2"])
def test_those_defaults_are_theirs(transformers, kind):
    theirs = getattr(transformers, f"{kind}Config")()
    ours = hugging_face._DEFAULTS[kind.lower()]
    derived = {"rope_theta", "rope_parameters", "rope_scaling", "head_dim", "num_key_value_heads"}
    for key in ours.keys() - derived:
        assert ours[key] == getattr(theirs, key), key


def test_the_rotary_base_is_found_in_old_and_new_files():
    for content in (
        {"rope_theta": 500.0},
        {"rope_theta": 500.0, "rope_scaling": None},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 1.0}},
        {"rope_scaling": {"type": "default"}, "rope_theta": 500.0},
    ):
        assert model_config({"model_type": "llama"} | content, origin="x").rope_theta == 500.0


def test_the_config_json_of_published_models_is_understood():
    """The keys that releases 3 and 4 of transformers wrote for GPT-2 and for a small Llama."""
    gpt2 = {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_ctx": 1024,
        "summary_type": "cls_index",
        "task_specific_params": {"text-generation": {"do_sample": True}},
        "eos_token_id": 50256,
    }
    assert model_config(gpt2, origin="x").n_layers == 12
    llama = {
        "_name_or_path": "small",
        "model_type": "llama",
        "is_llama_config": True,
        "pretraining_tp": 1,
        "rope_interleaved": False,
        "rope_scaling": None,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        **LLAMA,
    }
    assert model_config(llama, origin="x").d_model == 16


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("bert", {}, "model_type 'bert' is not supported"),
        (
            "llama",
            {"rope_scaling": {"type": "linear", "factor": 2.0}},
            "rope_scaling = .*'linear'.* is not supported",
        ),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "rope_parameters = .*'llama3'"),
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "rope_parameters = .*0.5"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5 is not supported"),
        ("llama", {"rope_interleaved": True}, "rope_interleaved = True is not supported"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act = 'gelu' is not supported"),
        ("llama", {"attention_bias": True}, "attention_bias = True is not supported: mlp_bias is False"),
        ("llama", {"head_dim": 64}, "head_dim = 64 is not supported: it must be 4"),
        ("llama", {"pretraining_tp": 2}, "pretraining_tp = 2 is not supported"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config = .* is not supported"),
        ("llama", {"logit_cap": 30.0}, r"the key 'logit_cap' \(= 30.0\) is not known for model_type 'llama'"),
        ("llama", {"sliding_window": 3}, "the key 'sliding_window'"),
        ("llama", {"num_attention_heads": 3, "num_key_value_heads": 3}, "describes no model that is supported"),
        ("llama", {"num_attention_heads": 0}, "describes no model that is supported"),
        ("llama", {"hidden_size": "wide"}, "describes no model that is supported"),
        ("mistral", {"attention_bias": True}, "the key 'attention_bias'"),
        ("mistral", {"layer_types": ["full_attention"]}, "layer_types = .* is not supported"),
        ("gpt2", {"activation_function": "tanh"}, "activation_function = 'tanh' is not supported: known: gelu"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights = False is not supported"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention = True is not supported"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(kind, changes, message):
    base = {"llama": LLAMA, "mistral": LLAMA}.get(kind, {})
    with pytest.raises(CheckpointError, match=message):
        model_config({"model_type": kind} | base | changes, origin="x")


# -- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path):
    """A tiny tied Llama as another program would have left it."""
    content = {"model_type": "llama", "tie_word_embeddings": True} | LLAMA
    decoder = Decoder.initialise(model_config(content, origin="x"), seed=1)
    hugging_face.export(tmp_path / "x", decoder, CharacterTokenizer("abcde"))
    (tmp_path / "x" / "config.json").write_text(json.dumps(content))
    return tmp_path / "x"


def change_tensors(checkpoint, change):
    tensors = artifact.load_tensors(checkpoint / "model.safetensors")
    change(tensors)
    artifact.save_tensors(checkpoint / "model.safetensors", tensors)


def test_a_tied_model_may_store_its_output_matrix_too(checkpoint):
    change_tensors(checkpoint, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"]}))
    assert read_checkpoint(checkpoint).config.tie_embeddings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"] + 1}), "lm_head.weight differs"),
        (lambda t: t.update({"model.norm.weight": np.ones(16, np.int8)}), "type int8; quantized weights"),
        (lambda t: t.pop("model.norm.weight"), "1 missing, model.norm.weight"),
        (
            lambda t: t.update({"model.norm.weight": np.ones(8, "f4")}),
            r"shape \(8,\), the architecture needs \(16,\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(checkpoint, change, message):
    change_tensors(checkpoint, change)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(checkpoint)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_missing_or_broken_config_is_an_error(checkpoint, content):
    if content is None:
        (checkpoint / "config.json").unlink()
    else:
        (checkpoint / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_checkpoint(checkpoint)


def test_pickled_weights_are_never_opened(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        read_checkpoint(checkpoint)
    (checkpoint / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors") as caught:
        read_checkpoint(checkpoint)
    assert "pytorch_model.bin is a pickle" in caught.value.hint


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{}", "index.json is malformed"),
        ('{"weight_map": {"a": "../secret"}}', "names a file outside the directory: '../secret'"),
        ('{"weight_map": {"a": "model-1.safetensors"}}', r"cannot read .*model-1\.safetensors"),
    ],
)
def test_a_broken_index_is_an_error(checkpoint, index, message):
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(checkpoint)
