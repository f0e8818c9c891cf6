"""Parameters by the names and layouts of Hugging Face, both ways.

Architectures that `transformers` knows are stored as it stores them, so that what is trained here opens elsewhere
unchanged:

    family    here                                                          there
    llama     RMS norm before each sub-layer, rotary, SwiGLU                LlamaForCausalLM
    mistral   the same with a sliding window and without biases             MistralForCausalLM
    gpt2      layer norm before each sub-layer, learned positions, GELU     GPT2LMHeadModel
              or ReLU, multi-head attention without a window
    tissu     anything else                                                 stored as it is here

What differs from the parameters here:

- llama, mistral: `qkv_proj` is q_proj, k_proj and v_proj; `gate_up_proj` is gate_proj and up_proj. Interleaved
  rotary pairs are stored half-split: the same function with the rows of queries and keys in another order.
- gpt2: other names, and the matrices are (in, out). GPT-2 always has biases, so a model without stores zeros.

A tied output matrix is not stored a second time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.deferred import Deferred
from quanta_tissu.tisslm.model.parameter import Parameters, ParameterSpec

Array = NDArray[Any]
Family = Literal["llama", "mistral", "gpt2", "tissu"]

_GPT2_NAMES = {
    "model.embed_tokens": "transformer.wte",
    "model.embed_positions": "transformer.wpe",
    "model.norm": "transformer.ln_f",
    "input_layernorm": "ln_1",
    "self_attn.qkv_proj": "attn.c_attn",
    "self_attn.o_proj": "attn.c_proj",
    "post_attention_layernorm": "ln_2",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")


def family_of(config: ModelConfig) -> Family:
    """The family of `transformers` that computes exactly what this architecture computes."""
    if config.norm_placement == "pre":
        if (config.norm, config.positions, config.feed_forward) == ("rms_norm", "rotary", "swiglu"):
            if config.sliding_window is None:
                return "llama"
            if not config.bias:
                return "mistral"
        if (
            (config.norm, config.positions) == ("layer_norm", "learned")
            and config.feed_forward != "swiglu"
            and config.kv_heads == config.n_heads
            and config.sliding_window is None
        ):
            return "gpt2"
    return "tissu"


def to_state_dict(config: ModelConfig, parameters: Mapping[str, Array]) -> dict[str, Array]:
    """Parameters as their family stores them.

    Args:
        config: The architecture.
        parameters: Name → array, as `Decoder.specs(config)` names them.

    Returns:
        Name → array; views on the parameters wherever the layout allows.
    """
    family = family_of(config)
    if family == "gpt2":
        tensors = {_gpt2_name(name): _gpt2_layout(name, array) for name, array in parameters.items()}
        if not config.bias:
            tensors |= {name: np.zeros(shape, np.float32) for name, shape in _gpt2_absent_biases(config).items()}
        return tensors
    if family == "tissu":
        return dict(parameters)
    tensors = {}
    for name, array in parameters.items():
        for part, piece in zip(_llama_names(name), _llama_split(config, name, array), strict=True):
            tensors[part] = piece
    return tensors


class Stored(Protocol):
    """An array that is read when it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    def read(self) -> Array:
        """The array."""


def from_state_dict(config: ModelConfig, tensors: Mapping[str, Array], *, origin: str) -> Parameters:
    """Parameters from what their family stores.

    Args:
        config: The architecture.
        tensors: Name → array, exactly those that `to_state_dict` would give; values are converted to float32.
        origin: Where they come from, for errors.

    Raises:
        CheckpointError: A tensor is missing, superfluous or of another shape than the architecture needs, or a
            bias that the architecture lacks is not zero.
    """
    parameters = Parameters(Decoder.specs(config))
    _check(config, {name: tensor.shape for name, tensor in tensors.items()}, tensors.__getitem__, origin)
    for name, target in parameters.items():
        target[...] = _parameter(config, name, tensors.__getitem__)
    return parameters


def deferred_from_state_dict(config: ModelConfig, tensors: Mapping[str, Stored], *, origin: str) -> Parameters:
    """The same, each parameter read when it is asked for (`deferred.py`).

    Args:
        config: The architecture.
        tensors: Name → array, as for `from_state_dict`.
        origin: Where they come from, for errors.

    Raises:
        CheckpointError: As for `from_state_dict`, at once.
    """

    def read(name: str) -> Array:
        return tensors[name].read()

    def make(spec: ParameterSpec) -> Array:
        return np.array(_parameter(config, spec.name, read), dtype=np.float32, order="C")

    specs = Decoder.specs(config)
    _check(config, {name: tensor.shape for name, tensor in tensors.items()}, read, origin)
    return Parameters(specs, cast(Any, Deferred(specs, make)))


def _parameter(config: ModelConfig, name: str, read: Callable[[str], Array]) -> Array:
    """A parameter from what is stored of it."""
    family = family_of(config)
    if family == "gpt2":
        return _gpt2_layout(name, read(_gpt2_name(name)))
    if family == "tissu":
        return read(name)
    return _llama_join(config, name, [read(part) for part in _llama_names(name)])


def _check(
    config: ModelConfig, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], Array], origin: str
) -> None:
    """Refuse what is not the architecture's."""
    expected = to_state_dict(config, Parameters(Decoder.specs(config)))
    _check_names(expected, shapes, origin)
    for name, shape in shapes.items():
        if shape != expected[name].shape:
            raise CheckpointError(
                f"{origin}: {name} has shape {shape}, the architecture needs {expected[name].shape}",
                hint="the weights and the configuration belong to different models",
            )
    if family_of(config) == "gpt2" and not config.bias:
        for name in _gpt2_absent_biases(config):
            if np.any(read(name)):
                raise CheckpointError(
                    f"{origin}: {name} is not zero, but the configuration says that the model has no biases",
                    hint="set model.bias = true in its configuration",
                )


def _check_names(expected: Iterable[str], found: Iterable[str], origin: str) -> None:
    missing, superfluous = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or superfluous:
        problems = [
            f"{len(names)} {what}, {names[0]} for example"
            for names, what in ((missing, "missing"), (superfluous, "that the architecture does not have"))
            if names
        ]
        raise CheckpointError(
            f"{origin}: the tensors are not those of the architecture: {'; '.join(problems)}",
            hint="the weights and the configuration belong to different models",
        )


# -- llama, mistral ----------------------------------------------------------------------------------------------


def _llama_names(name: str) -> list[str]:
    """Names of the parts that a packed parameter is stored as; the name itself for others."""
    if ".qkv_proj." in name:
        return [name.replace("qkv_proj", part) for part in ("q_proj", "k_proj", "v_proj")]
    if ".gate_up_proj." in name:
        return [name.replace("gate_up_proj", part) for part in ("gate_proj", "up_proj")]
    return [name]


def _llama_split(config: ModelConfig, name: str, array: Array) -> list[Array]:
    if ".gate_up_proj." in name:
        return list(np.split(array, 2))
    if ".qkv_proj." not in name:
        return [array]
    queries, keys = config.n_heads * config.head_dim, config.kv_heads * config.head_dim
    q, k, v = np.split(array, [queries, queries + keys])
    if config.rope_interleaved:
        q, k = _half_split(q, config.head_dim), _half_split(k, config.head_dim)
    return [q, k, v]


def _llama_join(config: ModelConfig, name: str, pieces: list[Array]) -> Array:
    if ".qkv_proj." in name and config.rope_interleaved:
        q, k, v = pieces
        pieces = [_interleaved(q, config.head_dim), _interleaved(k, config.head_dim), v]
    return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]


def _half_split(rows: Array, head_dim: int) -> Array:
    """Move row 2i + p of every head to row p·head_dim/2 + i, so that a pair's halves lie half a head apart."""
    return rows.reshape(-1, head_dim // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _interleaved(rows: Array, head_dim: int) -> Array:
    """The inverse of `_half_split`."""
    return rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


# -- gpt2 --------------------------------------------------------------------------------------------------------


def _gpt2_name(name: str) -> str:
    match = _LAYER.fullmatch(name)
    if match:
        layer, module, kind = match.groups()
        return f"transformer.h.{layer}.{_GPT2_NAMES[module]}.{kind}"
    module, _, kind = name.rpartition(".")
    return f"{_GPT2_NAMES.get(module, module)}.{kind}"


def _gpt2_layout(name: str, array: Array) -> Array:
    """Matrices of linear layers are transposed; it is its own inverse."""
    return array.T if "_proj." in name else array


def _gpt2_absent_biases(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The biases that GPT-2 has and a model with `bias = false` does not."""
    with_biases = Decoder.specs(config.model_copy(update={"bias": True}))
    return {_gpt2_name(spec.name): spec.shape for spec in with_biases if spec.name.endswith(".bias")}
