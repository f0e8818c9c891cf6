"""`config.json`: the architecture as `transformers` describes it, and in full in a section of our own.

The keys outside the section `tissu` are Hugging Face's, for whoever opens the checkpoint there. The section holds
every field of `ModelConfig`, also those that Hugging Face has no word for, and is what is read back here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.state_dict import Family, family_of
from quanta_tissu.tisslm.tokenizers.base import Tokenizer

FORMAT = "tissu-checkpoint-1"

ARCHITECTURES: dict[Family, str] = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "tissu": "TissuDecoder",
}
GPT2_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}


def to_config_json(config: ModelConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of `config.json`."""
    family = family_of(config)
    described: dict[str, Any] = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "dtype": "float32",
        "vocab_size": config.vocab_size,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
        "tie_word_embeddings": config.tie_embeddings,
        "initializer_range": min(config.init_std, 1.0),  # the largest value that transformers accepts
    }
    if family == "gpt2":
        described |= {
            "n_positions": config.context_length,
            "n_embd": config.d_model,
            "n_layer": config.n_layers,
            "n_head": config.n_heads,
            "n_inner": config.ff_width,
            "activation_function": GPT2_ACTIVATIONS[config.feed_forward],
            "layer_norm_epsilon": config.norm_eps,
            "embd_pdrop": config.dropout_of("embedding"),
            "attn_pdrop": config.dropout_of("attention"),
            "resid_pdrop": config.dropout_of("residual"),
        }
    elif family != "tissu":
        described |= {
            "max_position_embeddings": config.context_length,
            "hidden_size": config.d_model,
            "intermediate_size": config.ff_width,
            "num_hidden_layers": config.n_layers,
            "num_attention_heads": config.n_heads,
            "num_key_value_heads": config.kv_heads,
            "head_dim": config.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": config.norm_eps,
            # Releases before 5 read rope_theta, later ones rope_parameters.
            "rope_theta": config.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
            "attention_dropout": config.dropout_of("attention"),
        }
        if family == "llama":
            described |= {"attention_bias": config.bias, "mlp_bias": config.bias}
        else:
            described |= {"sliding_window": config.sliding_window}
    return described | {"tissu": {"format": FORMAT, "model": config.model_dump(mode="json")}}


def from_config_json(content: Mapping[str, Any], *, origin: str) -> ModelConfig:
    """The architecture of a checkpoint that this package wrote.

    Raises:
        CheckpointError: It was written elsewhere or by a later version, or its values are invalid.
    """
    kind = content.get("model_type")
    if kind not in ARCHITECTURES:
        raise CheckpointError(
            f"{origin}: model_type {kind!r} is not supported", hint=f"supported are: {', '.join(ARCHITECTURES)}"
        )
    section = content.get("tissu")
    if not isinstance(section, Mapping) or "model" not in section:
        raise CheckpointError(
            f"{origin} was not written by this package: it has no section `tissu`",
            hint="convert the checkpoint with `tissu import`",
        )
    if section.get("format") != FORMAT:
        raise CheckpointError(
            f"{origin} has format {section.get('format')!r}; this version reads {FORMAT!r}",
            hint="install the version of quanta-tissu that wrote it (see manifest.json)",
        )
    try:
        config = ModelConfig.model_validate(section["model"])
    except ValidationError as error:
        raise CheckpointError(f"{origin}: the section `tissu` is invalid: {error}") from error
    if config.vocab_size is None or family_of(config) != kind:
        raise CheckpointError(
            f"{origin}: model_type {kind!r} contradicts the section `tissu`",
            hint="the file was edited by hand; restore it",
        )
    return config
