"""A decoder prepared for the compiled forward pass: where its weights lie, and buffers for the activations.

Nothing is packed or copied: a decoder's parameters are one flat array already, matrices that are read together
stand together in it, and the kernel gets their offsets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.crew import crew
from quanta_tissu.tisslm.generate.compiled import kernels
from quanta_tissu.tisslm.generate.compiled import shared_kernels as shared
from quanta_tissu.tisslm.generate.compiled.arguments import Model, Rotation, Tokens, Workspace
from quanta_tissu.tisslm.model.decoder import EMBEDDING, HEAD, Decoder
from quanta_tissu.tisslm.model.kv_cache import KVCache
from quanta_tissu.tisslm.model.positions import angles

Array = NDArray[Any]

FEW = 32
"""Tokens of one pass up to which matrices are read and not packed (docs/experiments.md)."""

_Prepared = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Workspace]

_ACTIVATIONS = {
    "swiglu": shared.SWIGLU,
    "gelu": shared.GELU,
    "gelu_tanh": shared.GELU_TANH,
    "relu": shared.RELU,
}


class CompiledForward:
    """The forward pass as compiled kernels, for every architecture.

    Args:
        decoder: The model; its parameters are read where they are.
        threads: Number of threads of a pass.
    """

    def __init__(self, decoder: Decoder, threads: int) -> None:
        self._model = _model(decoder)
        self._config = decoder.config
        self._threads = threads
        self._shape = (0, 0, 0)
        self._last_prepared: _Prepared | None = None
        self._prompt: Any = None

    def __call__(
        self, ids: NDArray[np.int64], positions: NDArray[np.int64], starts: NDArray[np.int64], cache: KVCache
    ) -> Array:
        """Read tokens that follow those of the cache, and store their keys and values.

        Args:
            ids: Token ids (B, T), in the vocabulary.
            positions: Their positions (B, T), in the context.
            starts: First column of each row that is no padding (B).
            cache: Has room for T more.

        Returns:
            Logits after the last token of each row (B, V), overwritten by the next call.
        """
        T = ids.shape[1]
        logits = (
            self._few(ids, positions, starts, cache)
            if ids.size <= FEW
            else self._many(ids, positions, starts, cache)
        )
        cache.advance(T)
        return logits

    def _many(
        self, ids: NDArray[np.int64], positions: NDArray[np.int64], starts: NDArray[np.int64], cache: KVCache
    ) -> Array:
        """The prompt up to the last block, then the last tokens through that."""
        if self._prompt is None:
            from quanta_tissu.tisslm.generate.compiled.prompt import PromptForward

            self._prompt = PromptForward(self._model, self._config, self._threads)
        x = self._prompt(ids, positions, starts, cache)
        B, T = ids.shape
        logits = np.empty((B, self._config.vocab_size or 0), x.dtype)
        for first in range(0, B, FEW):
            part = slice(first, min(B, first + FEW))
            logits[part] = self._few(
                ids[part, -1:], positions[part, -1:], starts[part], cache, T - 1, x[part], first
            )
        return logits

    def _few(
        self,
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        starts: NDArray[np.int64],
        cache: KVCache,
        skipped: int = 0,
        x: Array | None = None,
        first_row: int = 0,
    ) -> Array:
        """Read a few tokens, `skipped` columns after those of the cache.

        With `x` (B, D), what enters the last block, they are read by that one alone. The first row belongs to row
        `first_row` of the cache.
        """
        B, T = ids.shape
        rows, steps, last, work = self._prepared(B, T, cache.capacity)
        tokens = Tokens(
            ids=np.ascontiguousarray(ids).reshape(-1),
            positions=np.ascontiguousarray(positions).reshape(-1),
            rows=first_row + rows,
            columns=cache.length + skipped + steps,
            starts=starts[rows],
            last=last,
            single=T == 1,
        )
        model, threads = self._model, self._threads
        first_layer = 0
        if x is not None:
            first_layer = self._config.n_layers - 1
            work.x[:B] = x

        def enter(worker: int, barrier: NDArray[np.int64]) -> None:
            kernels.forward_pass(
                worker, threads, barrier, model, tokens, cache.keys, cache.values, first_layer, work
            )

        crew().run(enter, threads)
        return work.logits[:B]

    def _prepared(self, B: int, T: int, C: int) -> _Prepared:
        """What passes of one shape have in common; made anew when the shape changes, which is seldom."""
        if self._last_prepared is None or self._shape != (B, T, C):
            self._shape = (B, T, C)
            self._last_prepared = (
                np.repeat(np.arange(B), T),
                np.tile(np.arange(T), B),
                np.arange(T - 1, B * T, T),
                self._workspace(B, B * T, C),
            )
        return self._last_prepared

    def _workspace(self, B: int, N: int, C: int) -> Workspace:
        config, W = self._config, self._threads
        D, H, K, E, F = config.d_model, config.n_heads, config.kv_heads, config.head_dim, config.ff_width
        dtype = self._model.weights.dtype

        M = kernels.padded(N)

        def buffer(*shape: int) -> Array:
            return np.zeros(shape, dtype)

        return Workspace(
            x=buffer(M, D),
            qkv=buffer(M, (H + 2 * K) * E),
            up=buffer(M, 2 * F if config.feed_forward == "swiglu" else F),
            hidden=buffer(M, F),
            y=buffer(M, D),
            partial=buffer(W, N, H, E + 2),
            normed=buffer(W, M, D),
            mixed=buffer(W, M, H * E),
            query=buffer(W, H * E),
            scores=buffer(W, H // K, C),
            logits=buffer(kernels.padded(B), config.vocab_size or 0),
        )


def _model(decoder: Decoder) -> Model:
    """What the kernel needs to know of a decoder."""
    config, parameters = decoder.config, decoder.parameters
    dtype = parameters.dtype

    def offset(name: str) -> int:
        return parameters.slices[name].start if name in parameters.slices else shared.ABSENT

    def weight_and_bias(prefix: str) -> list[int]:
        return [offset(f"{prefix}.weight"), offset(f"{prefix}.bias")]

    rows = []
    post = config.norm_placement == "post"
    blocks = decoder.blocks
    norms = [weight_and_bias(norm.name) for b in blocks for norm in (b.attention_norm, b.feed_forward_norm)]
    # What stands before a sub-layer: its own norm, or, where norms come after the sums, the one before.
    norms = [[shared.ABSENT] * 2, *norms] if post else [*norms, weight_and_bias("model.norm")]
    for layer, block in enumerate(blocks):
        rows.append(
            norms[2 * layer]
            + weight_and_bias(block.attention.qkv.name)
            + weight_and_bias(block.attention.out.name)
            + norms[2 * layer + 1]
            + weight_and_bias(block.feed_forward.up.name)
            + weight_and_bias(block.feed_forward.down.name)
        )
    none = np.empty((0, 0), dtype)
    cos, sin, waves, rotation = none, none, none, shared.NO_ROTATION
    if config.positions == "rotary":
        cos, sin = angles(config.context_length, config.head_dim, config.rope_theta, dtype)
        rotation = shared.NEIGHBOURS if config.rope_interleaved else shared.HALVES
    elif config.positions == "sinusoidal":
        cos_, sin_ = angles(config.context_length, config.d_model, 10_000.0, dtype)
        waves = np.stack([sin_, cos_], axis=-1).reshape(config.context_length, config.d_model)
    final_norm, final_shift = norms[-1]
    return Model(
        weights=parameters.flat,
        offsets=np.array(rows, dtype=np.int64),
        embedding=offset(EMBEDDING),
        positions=offset("model.embed_positions.weight"),
        waves=waves,
        final_norm=final_norm,
        final_shift=final_shift,
        head=offset(EMBEDDING if config.tie_embeddings else HEAD),
        vocabulary=config.vocab_size or 0,
        heads=config.n_heads,
        wide=config.ff_width,
        layer_norm=config.norm == "layer_norm",
        eps=config.norm_eps,
        residual_from_norm=post,
        activation=_ACTIVATIONS[config.feed_forward],
        rotation=Rotation(rotation, cos, sin),
        window=config.sliding_window or 0,
    )
