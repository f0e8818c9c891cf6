"""Fixtures for TissLM: a small sentence encoder in the files of sentence-transformers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quanta_tissu.tisslm.artifact.tensors import save_tensors

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "the",
    "quick",
    "brown",
    "fox",
    "jump",
    "##s",
    "##ing",
    "over",
    "lazy",
    "dog",
]


@pytest.fixture
def encoder_folder(tmp_path):
    """A BERT of two layers with random weights, 16 positions, of which texts may use 12."""
    width, wide, layers = 8, 32, 2
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "vocab_size": len(WORDS),
        "max_position_embeddings": 16,
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": 2,
        "intermediate_size": wide,
        "layer_norm_eps": 1e-12,
        "type_vocab_size": 2,
    }
    shapes = {
        "embeddings.word_embeddings.weight": (len(WORDS), width),
        "embeddings.position_embeddings.weight": (16, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    for layer in range(layers):
        for name, (out, into) in {
            "attention.self.query": (width, width),
            "attention.self.key": (width, width),
            "attention.self.value": (width, width),
            "attention.output.dense": (width, width),
            "intermediate.dense": (wide, width),
            "output.dense": (width, wide),
        }.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = (out, into)
            shapes[f"encoder.layer.{layer}.{name}.bias"] = (out,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{layer}.{name}.weight"] = (width,)
            shapes[f"encoder.layer.{layer}.{name}.bias"] = (width,)
    rng = np.random.default_rng(7)
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    tensors["embeddings.position_ids"] = np.arange(16)[None]
    save_tensors(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 12}), encoding="utf-8")
    _tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def _tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=16)  # as the real file does, and nobody may notice
    tokenizer.enable_truncation(5)
    return tokenizer
