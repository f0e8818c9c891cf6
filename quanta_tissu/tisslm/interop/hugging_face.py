"""Hugging Face checkpoints of the families llama, mistral and gpt2, both ways.

What `artifact` writes for these families opens in `transformers` as it is; `export` only refuses the others.
Reading goes by a whitelist: every key of a foreign `config.json` is translated, required to have a value that is
supported, or known not to change what the model computes. Any other key is refused by name, because a model that
ignores a part of its description computes something else without saying so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.artifact.architecture import GPT2_ACTIVATIONS
from quanta_tissu.tisslm.config import Config, ModelConfig
from quanta_tissu.tisslm.model.decoder import HEAD, Decoder
from quanta_tissu.tisslm.model.state_dict import family_of, from_state_dict
from quanta_tissu.tisslm.tokenizers.base import Tokenizer

Array = NDArray[Any]
Content = Mapping[str, Any]

# What transformers assumes where a key is missing (configuration_llama.py and its like).
_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": None,
        "rope_parameters": None,
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": False,
        "initializer_range": 0.02,
    },
    "gpt2": {
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "embd_pdrop": 0.1,
        "attn_pdrop": 0.1,
        "resid_pdrop": 0.1,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
    },
}
_DEFAULTS["mistral"] = {key: value for key, value in _DEFAULTS["llama"].items() if not key.endswith("_bias")} | {
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
    "max_position_embeddings": 4096 * 32,
    "sliding_window": 4096,
}

# Keys that change what a model computes, and their values that change nothing.
_REQUIRED: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "embedding_multiplier": (1, None),
    "final_logit_softcapping": (None,),
    "is_encoder_decoder": (False,),
    "layer_types": (None,),
    "logit_scale": (1, None),
    "partial_rotary_factor": (1, None),
    "pretraining_tp": (0, 1, None),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
    "rope_interleaved": (False, None),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
}
# Keys that say how to train, generate, save or return, not what to compute.
_IRRELEVANT = {
    "architectures", "bos_token_id", "chunk_size_feed_forward", "dtype", "eos_token_id", "finetuning_task",
    "gradient_checkpointing", "id2label", "is_llama_config", "label2id", "model_type", "n_ctx",
    "output_attentions", "output_hidden_states", "pad_token_id", "problem_type", "reorder_and_upcast_attn",
    "return_dict", "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type",
    "summary_use_proj",
    "task_specific_params", "tissu", "torch_dtype", "transformers.js_config", "transformers_version",
    "unk_token_id", "use_cache",
}  # fmt: skip
_ACTIVATIONS = {theirs: ours for ours, theirs in GPT2_ACTIVATIONS.items()} | {"gelu_pytorch_tanh": "gelu_tanh"}


def read_checkpoint(directory: Path) -> Decoder:
    """Read a Hugging Face checkpoint directory: `config.json` and safetensors, in one file or in several.

    Args:
        directory: The directory. Weights of any floating-point type become float32.

    Raises:
        CheckpointError: A file is missing or damaged, or the model has something that is not supported.
    """
    directory = Path(directory)
    path = directory / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot read {path}: {error}", hint="name the directory that holds config.json and model.safetensors"
        ) from error
    config = model_config(content, origin=str(path))
    tensors = _renamed(config, _load(directory), str(directory))
    return Decoder(config, from_state_dict(config, tensors, origin=str(directory)))


def export(directory: Path, decoder: Decoder, tokenizer: Tokenizer, config: Config | None = None) -> None:
    """Write a checkpoint that opens in `transformers`.

    Raises:
        CheckpointError: `transformers` has no model that computes the same, or the directory cannot be written.
    """
    if family_of(decoder.config) == "tissu":
        raise CheckpointError(
            "the architecture has no counterpart at Hugging Face, so it cannot be exported",
            hint="norms before the sub-layers and either RMS norm, rotary and SwiGLU (llama, mistral), or layer "
            "norm, learned positions and GELU or ReLU (gpt2) have one",
        )
    artifact.write(Path(directory), decoder, tokenizer, config or Config())


def model_config(content: Any, *, origin: str) -> ModelConfig:
    """The architecture that a foreign `config.json` describes.

    Raises:
        CheckpointError: It has a key, or a value of a key, that is not supported.
    """
    translate: dict[str, Callable[[Content, str], dict[str, Any]]] = {
        "llama": _from_llama,
        "mistral": _from_llama,
        "gpt2": _from_gpt2,
    }
    kind = content.get("model_type") if isinstance(content, dict) else None
    if kind not in translate:
        raise CheckpointError(
            f"{origin}: model_type {kind!r} is not supported", hint=f"supported are: {', '.join(translate)}"
        )
    _check_keys(content, kind, origin)
    try:
        return ModelConfig(**translate[kind](_DEFAULTS[kind] | dict(content), origin))
    except (ValidationError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{origin} describes no model that is supported: {error}") from error


def _check_keys(content: Content, kind: str, origin: str) -> None:
    for key, value in content.items():
        if key in _REQUIRED:
            if value not in _REQUIRED[key]:
                raise _unsupported(origin, key, value)
        elif key not in _DEFAULTS[kind] and key not in _IRRELEVANT and not key.startswith("_"):
            raise CheckpointError(
                f"{origin}: the key {key!r} (= {value!r}) is not known for model_type {kind!r}",
                hint="if it does not change what the model computes, remove it from config.json",
            )


def _from_llama(content: Content, origin: str) -> dict[str, Any]:
    if content["hidden_act"] not in ("silu", "swish"):
        raise _unsupported(origin, "hidden_act", content["hidden_act"])
    width = content["hidden_size"] // content["num_attention_heads"]
    if content["head_dim"] not in (None, width):
        raise _unsupported(origin, "head_dim", content["head_dim"], f"it must be {width}, hidden_size / heads")
    bias, mlp_bias = content.get("attention_bias", False), content.get("mlp_bias", False)
    if bias != mlp_bias:
        raise _unsupported(origin, "attention_bias", bias, f"mlp_bias is {mlp_bias}; both or none")
    return {
        "vocab_size": content["vocab_size"],
        "context_length": content["max_position_embeddings"],
        "n_layers": content["num_hidden_layers"],
        "d_model": content["hidden_size"],
        "n_heads": content["num_attention_heads"],
        "n_kv_heads": content["num_key_value_heads"],
        "d_ff": content["intermediate_size"],
        "feed_forward": "swiglu",
        "norm": "rms_norm",
        "norm_eps": content["rms_norm_eps"],
        "positions": "rotary",
        "rope_theta": _rope_theta(content, origin),
        "sliding_window": content.get("sliding_window"),
        "bias": bias,
        "tie_embeddings": content["tie_word_embeddings"],
        "attention_dropout": content["attention_dropout"],
        "init_std": content["initializer_range"] or 0.02,
    }


def _rope_theta(content: Content, origin: str) -> float:
    """Base of the rotary frequencies; releases before 5 wrote rope_theta and rope_scaling beside each other."""
    theta = content["rope_theta"]
    for key in ("rope_parameters", "rope_scaling"):
        rope = content[key] or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        others = {k: v for k, v in rope.items() if k not in {"rope_type", "type", "rope_theta"} and v is not None}
        if kind != "default" or others not in ({}, {"partial_rotary_factor": 1.0}):
            raise _unsupported(origin, key, rope, "only plain rotary embedding is supported, without scaling")
        theta = rope.get("rope_theta") or theta
    return float(theta or 10_000.0)


def _from_gpt2(content: Content, origin: str) -> dict[str, Any]:
    if content["activation_function"] not in _ACTIVATIONS:
        raise _unsupported(
            origin, "activation_function", content["activation_function"], f"known: {', '.join(_ACTIVATIONS)}"
        )
    return {
        "vocab_size": content["vocab_size"],
        "context_length": content["n_positions"],
        "n_layers": content["n_layer"],
        "d_model": content["n_embd"],
        "n_heads": content["n_head"],
        "d_ff": content["n_inner"],
        "feed_forward": _ACTIVATIONS[content["activation_function"]],
        "norm": "layer_norm",
        "norm_eps": content["layer_norm_epsilon"],
        "positions": "learned",
        "bias": True,
        "tie_embeddings": content["tie_word_embeddings"],
        "embedding_dropout": content["embd_pdrop"],
        "attention_dropout": content["attn_pdrop"],
        "residual_dropout": content["resid_pdrop"],
        "init_std": content["initializer_range"] or 0.02,
    }


def _unsupported(origin: str, key: str, value: Any, why: str = "") -> CheckpointError:
    return CheckpointError(f"{origin}: {key} = {value!r} is not supported{': ' if why else ''}{why}")


def _load(directory: Path) -> dict[str, Array]:
    """All tensors of a checkpoint in one file, or in several that an index lists."""
    single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if single.is_file():
        return artifact.load_tensors(single)
    if not index.is_file():
        hint = "name the directory that holds config.json and model.safetensors"
        if pickled := sorted(path.name for path in directory.glob("*.bin")):
            hint = f"{pickled[0]} is a pickle, which can run code when opened; convert it to safetensors elsewhere"
        raise CheckpointError(f"{directory} has no model.safetensors", hint=hint)
    try:
        places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(places.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is malformed: {error!r}") from error
    tensors: dict[str, Array] = {}
    for name in files:
        if Path(name).name != name:
            raise CheckpointError(f"{index} names a file outside the directory: {name!r}")
        tensors |= artifact.load_tensors(directory / name)
    return tensors


def _renamed(config: ModelConfig, tensors: dict[str, Array], origin: str) -> dict[str, Array]:
    """The tensors by today's names, without what older releases stored beside the weights."""
    if family_of(config) == "gpt2":
        tensors = {
            name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}": tensor
            for name, tensor in tensors.items()
            if not name.endswith((".attn.bias", ".attn.masked_bias"))  # the causal mask
        }
        embedding = "transformer.wte.weight"
    else:
        tensors = {name: t for name, t in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
        embedding = "model.embed_tokens.weight"
    for name, tensor in tensors.items():
        if not np.issubdtype(tensor.dtype, np.floating):
            raise CheckpointError(
                f"{origin}: {name} has type {tensor.dtype}; quantized weights are not supported",
                hint="use the checkpoint in float32, float16 or bfloat16",
            )
    if config.tie_embeddings and HEAD in tensors and embedding in tensors:
        if not np.array_equal(tensors[HEAD], tensors[embedding]):
            raise CheckpointError(
                f"{origin}: {HEAD} differs from {embedding}, but config.json says that they are tied",
                hint='set "tie_word_embeddings": false in config.json',
            )
        del tensors[HEAD]
    return tensors
