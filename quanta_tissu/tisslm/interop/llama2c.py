"""llama2.c's files: checkpoints of its first format (version 0) and tokenizers.

A checkpoint is seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len), where a negative
vocab_size says that the output matrix is not tied, and then float32 arrays without names, in this order:

    token embedding                 (V, D)
    attention norms                 (L, D)
    wq, wk, wv, wo                  (L, H·E, D)  (L, K·E, D)  (L, K·E, D)  (L, D, H·E)
    feed-forward norms              (L, D)
    w1 (gate), w2 (down), w3 (up)   (L, F, D)  (L, D, F)  (L, F, D)
    final norm                      (D)
    cosines, sines of the rotary embedding, no longer used: (T, E/2) each
    output matrix                   (V, D), only if it is not tied

The architecture is fixed: RMS norm with eps 1e-5, interleaved rotary embedding of base 10,000, SwiGLU, no biases.
Source: karpathy/llama2.c, `run.c` (`memory_map_weights`, `build_tokenizer`) and `model.py`.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from quanta_tissu.errors import CheckpointError, TokenizerError
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.decoder import EMBEDDING, HEAD, Decoder
from quanta_tissu.tisslm.model.parameter import Parameters
from quanta_tissu.tisslm.tokenizers.scored_bpe import ScoredBPETokenizer

_HEADER = struct.Struct("<7i")
_LATER_VERSIONS = 0x616B3432  # "ak42" opens the files of version 1 and 2


def read_checkpoint(path: Path) -> Decoder:
    """Read a checkpoint of llama2.c.

    Raises:
        CheckpointError: The file is missing, truncated, of a later version, or no checkpoint at all.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    if len(data) < _HEADER.size:
        raise CheckpointError(
            f"{path} is truncated: {len(data)} bytes are less than a header",
            hint="copy or download it again",
        )
    dim, hidden, layers, heads, kv_heads, vocabulary, context = _HEADER.unpack_from(data)
    if dim == _LATER_VERSIONS:
        raise CheckpointError(
            f"{path} is a llama2.c checkpoint of version {hidden}; version 0 is supported",
            hint="export it with llama2.c's `export.py --version 0`",
        )
    try:
        config = ModelConfig(
            vocab_size=abs(vocabulary),
            context_length=context,
            n_layers=layers,
            d_model=dim,
            n_heads=heads,
            n_kv_heads=kv_heads,
            d_ff=hidden,
            feed_forward="swiglu",
            norm="rms_norm",
            norm_eps=1e-5,
            positions="rotary",
            rope_interleaved=True,
            bias=False,
            tie_embeddings=vocabulary > 0,
        )
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is not a llama2.c checkpoint: its header {_HEADER.unpack_from(data)} describes no model",
            hint="name a .bin file that llama2.c's export.py wrote",
        ) from error
    return Decoder(config, _parameters(config, data, path))


def _parameters(config: ModelConfig, data: bytes, path: Path) -> Parameters:
    """Sort the unnamed arrays into parameters."""
    L, D, F, V = config.n_layers, config.d_model, config.ff_width, config.vocab_size or 0
    queries, keys = config.n_heads * config.head_dim, config.kv_heads * config.head_dim
    shapes = {
        "embedding": (V, D),
        "attention_norm": (L, D),
        "q": (L, queries, D),
        "k": (L, keys, D),
        "v": (L, keys, D),
        "o": (L, D, queries),
        "feed_forward_norm": (L, D),
        "gate": (L, F, D),
        "down": (L, D, F),
        "up": (L, F, D),
        "final_norm": (D,),
        "rotary_tables": (2, config.context_length, config.head_dim // 2),
    } | ({} if config.tie_embeddings else {"head": (V, D)})
    expected = _HEADER.size + 4 * sum(prod(shape) for shape in shapes.values())
    if len(data) != expected:
        raise CheckpointError(
            f"{path} has {len(data):,} bytes; a llama2.c checkpoint with its header needs {expected:,}",
            hint="it is truncated, or not a llama2.c checkpoint of version 0",
        )
    arrays: dict[str, NDArray[Any]] = {}
    offset = _HEADER.size
    for name, shape in shapes.items():
        arrays[name] = np.frombuffer(data, "<f4", prod(shape), offset).reshape(shape)
        offset += arrays[name].nbytes

    parameters = Parameters(Decoder.specs(config))
    parameters[EMBEDDING][...] = arrays["embedding"]
    parameters["model.norm.weight"][...] = arrays["final_norm"]
    if not config.tie_embeddings:
        parameters[HEAD][...] = arrays["head"]
    packed = {
        "input_layernorm": ("attention_norm",),
        "self_attn.qkv_proj": ("q", "k", "v"),
        "self_attn.o_proj": ("o",),
        "post_attention_layernorm": ("feed_forward_norm",),
        "mlp.gate_up_proj": ("gate", "up"),
        "mlp.down_proj": ("down",),
    }
    for layer in range(L):
        for module, parts in packed.items():
            target = parameters[f"model.layers.{layer}.{module}.weight"]
            target[...] = np.concatenate([arrays[part][layer] for part in parts])
    return parameters


def read_tokenizer(path: Path) -> ScoredBPETokenizer:
    """Read a tokenizer of llama2.c.

    The file is int32 max_token_length, then for each id a float32 score, an int32 length and that many bytes of
    UTF-8.

    Raises:
        TokenizerError: The file is missing, truncated or no such tokenizer.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise TokenizerError(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    tokens: list[tuple[str, float]] = []
    offset = 4
    try:
        (longest,) = struct.unpack_from("<i", data)
        while offset < len(data):
            score, length = struct.unpack_from("<fi", data, offset)
            offset += 8
            if not 0 <= length <= longest or offset + length > len(data):
                raise ValueError(f"token {len(tokens)} would have {length} bytes")
            tokens.append((data[offset : offset + length].decode(), score))
            offset += length
    except (struct.error, ValueError) as error:
        raise TokenizerError(
            f"{path} is not a tokenizer of llama2.c, or it is truncated: {error}",
            hint="name a .bin file that llama2.c's tokenizer.py wrote",
        ) from error
    try:
        return ScoredBPETokenizer(tokens)
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error.message}", hint=error.hint) from None
