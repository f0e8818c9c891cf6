"""Folders of sentence-transformers are read exactly, and what is not supported in them is refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quanta_tissu.errors import CheckpointError, MissingDependencyError, TokenizerError
from quanta_tissu.tisslm.artifact.tensors import load_tensors, save_tensors
from quanta_tissu.tisslm.interop import sentence_transformers as st
from quanta_tissu.tisslm.model.encoder import Encoder


def edit(path, **changes):
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | changes), encoding="utf-8")


def test_every_stored_tensor_lands_where_it_belongs(encoder_folder):
    stored = load_tensors(encoder_folder / "model.safetensors")
    parameters = st.read(encoder_folder).encoder.parameters
    packed = np.concatenate(
        [stored[f"encoder.layer.1.attention.self.{x}.weight"] for x in ("query", "key", "value")]
    )
    assert np.array_equal(parameters["model.layers.1.self_attn.qkv_proj.weight"], packed)
    assert np.array_equal(
        parameters["model.layers.0.mlp.down_proj.bias"], stored["encoder.layer.0.output.dense.bias"]
    )
    total = sum(
        t.size for name, t in stored.items() if not name.startswith("pooler") and "position_ids" not in name
    )
    assert parameters.num_elements == total


def test_names_may_begin_with_bert(encoder_folder):
    stored = load_tensors(encoder_folder / "model.safetensors")
    before = st.read(encoder_folder).encoder.parameters.flat
    save_tensors(encoder_folder / "model.safetensors", {f"bert.{name}": tensor for name, tensor in stored.items()})
    assert np.array_equal(st.read(encoder_folder).encoder.parameters.flat, before)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "roberta"),
        ("hidden_act", "relu"),
        ("position_embedding_type", "relative_key"),
        ("type_vocab_size", 1),
        ("is_decoder", True),
    ],
)
def test_another_architecture_is_refused_with_what_makes_it_another(encoder_folder, key, value):
    edit(encoder_folder / "config.json", **{key: value})
    with pytest.raises(CheckpointError, match=f"{key} = {value!r} is not supported"):
        st.read(encoder_folder)


def test_a_configuration_that_lacks_a_width_or_contradicts_itself_is_refused(encoder_folder):
    edit(encoder_folder / "config.json", num_attention_heads=7)
    with pytest.raises(CheckpointError, match="not divisible"):
        st.read(encoder_folder)
    content = json.loads((encoder_folder / "config.json").read_text(encoding="utf-8"))
    del content["hidden_size"]
    (encoder_folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match="lacks 'hidden_size'"):
        st.read(encoder_folder)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_configuration_that_is_no_object_is_refused(encoder_folder, content):
    (encoder_folder / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        st.read(encoder_folder)


def test_a_folder_without_files_is_refused_with_what_is_needed(tmp_path):
    with pytest.raises(CheckpointError) as refusal:
        st.read(tmp_path)
    assert "model.safetensors" in refusal.value.hint


def test_weights_that_do_not_fit_are_refused_by_name(encoder_folder):
    path = encoder_folder / "model.safetensors"
    stored = load_tensors(path)
    save_tensors(path, {**stored, "embeddings.LayerNorm.bias": np.zeros(7, np.float32)})
    with pytest.raises(CheckpointError, match=r"embeddings\.LayerNorm\.bias has shape \(7,\)"):
        st.read(encoder_folder)
    save_tensors(path, {name: tensor for name, tensor in stored.items() if name != "embeddings.LayerNorm.bias"})
    with pytest.raises(CheckpointError, match=r"embeddings\.LayerNorm\.bias is missing"):
        st.read(encoder_folder)
    save_tensors(path, {**stored, "encoder.layer.2.output.dense.bias": np.zeros(8, np.float32)})
    with pytest.raises(CheckpointError, match=r"encoder\.layer\.2\.output\.dense\.bias for example"):
        st.read(encoder_folder)


def test_vectors_that_are_made_in_another_way_are_refused(encoder_folder):
    (encoder_folder / "1_Pooling").mkdir()
    pooling = encoder_folder / "1_Pooling" / "config.json"
    pooling.write_text(
        json.dumps({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}), encoding="utf-8"
    )
    assert isinstance(st.read(encoder_folder).encoder, Encoder)
    edit(pooling, pooling_mode_cls_token=True)
    with pytest.raises(CheckpointError, match="pooling_mode_cls_token"):
        st.read(encoder_folder)
    pooling.unlink()
    modules = encoder_folder / "modules.json"
    modules.write_text(json.dumps([{"type": "a.Transformer"}, {"type": "a.Pooling"}]), encoding="utf-8")
    with pytest.raises(CheckpointError, match="Transformer, Pooling are not supported"):
        st.read(encoder_folder)
    modules.write_text("[1]", encoding="utf-8")
    with pytest.raises(CheckpointError, match="cannot read"):
        st.read(encoder_folder)


def test_the_longest_text_is_the_folders(encoder_folder):
    assert st.read(encoder_folder).longest == 12
    edit(encoder_folder / "sentence_bert_config.json", max_seq_length=17)
    with pytest.raises(CheckpointError, match="max_seq_length = 17"):
        st.read(encoder_folder)
    (encoder_folder / "sentence_bert_config.json").unlink()
    edit(encoder_folder / "config.json", max_position_embeddings=16)
    with pytest.raises(CheckpointError, match="max_seq_length = 256"):
        st.read(encoder_folder)


@pytest.mark.parametrize("damage", ["", "{}"])
def test_a_damaged_tokenizer_is_refused(encoder_folder, damage):
    (encoder_folder / "tokenizer.json").write_text(damage, encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        st.read(encoder_folder)


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(st, "PACKAGE", "no-such-package-at-all")
    with pytest.raises(MissingDependencyError) as refusal:
        st.packaged_folder()
    assert "pip install --no-deps no-such-package-at-all" in refusal.value.hint
