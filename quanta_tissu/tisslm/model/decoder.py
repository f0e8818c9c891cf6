"""The decoder-only transformer: from token ids to logits, and to the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.block import Block
from quanta_tissu.tisslm.model.dropout import DropoutSeeds, drop
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.model.initialise import deferred, initialise
from quanta_tissu.tisslm.model.kv_cache import KVCache
from quanta_tissu.tisslm.model.norm import make_norm
from quanta_tissu.tisslm.model.parameter import Parameters, ParameterSpec
from quanta_tissu.tisslm.model.positions import make_positions
from quanta_tissu.tisslm.model.recompute import recomputed
from quanta_tissu.tisslm.model.recorder import Recorder
from quanta_tissu.tisslm.model.summary import Summary, summarise

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


class Decoder:
    """A decoder-only transformer of any configured architecture.

    The modules are descriptions without state; every forward pass reads the parameters it is given. Arrays make it
    an inference pass, tape variables a training pass, torch tensors run it on PyTorch.

    Args:
        config: The architecture, with `vocab_size` resolved.
        parameters: Values of all parameters, as `Decoder.specs(config)` names them.

    Raises:
        ConfigError: `vocab_size` is not resolved.
    """

    def __init__(self, config: ModelConfig, parameters: Parameters) -> None:
        self.config = config
        self.parameters = parameters
        self.positions = make_positions(config)
        self.blocks = [Block.make(layer, config, self.positions) for layer in range(config.n_layers)]
        self.final_norm = make_norm("model.norm", config) if config.norm_placement == "pre" else None

    @classmethod
    def initialise(cls, config: ModelConfig, seed: int, dtype: DTypeLike = np.float32) -> Decoder:
        """A decoder with fresh parameters drawn from `seed`."""
        return cls(config, initialise(cls.specs(config), config, seed, dtype))

    @classmethod
    def deferred(cls, config: ModelConfig, seed: int) -> Decoder:
        """The same decoder with parameters that are drawn when they are asked for (`model/deferred.py`)."""
        return cls(config, deferred(cls.specs(config), config, seed))

    @classmethod
    def specs(cls, config: ModelConfig) -> list[ParameterSpec]:
        """All parameters that an architecture needs, in the order of use."""
        if config.vocab_size is None:
            raise ConfigError(
                "model.vocab_size is not set", hint="set it, or let a tokenizer decide: `tissu train` does so"
            )
        bare = cls(config, Parameters([]))
        specs = [ParameterSpec(EMBEDDING, (config.vocab_size, config.d_model), "embedding")]
        specs += bare.positions.specs()
        for block in bare.blocks:
            specs += block.specs()
        if bare.final_norm is not None:
            specs += bare.final_norm.specs()
        if not config.tie_embeddings:
            specs.append(ParameterSpec(HEAD, (config.vocab_size, config.d_model), "matrix"))
        return specs

    def forward(
        self,
        ids: NDArray[np.integer[Any]],
        *,
        params: Mapping[str, Any] | None = None,
        cache: KVCache | None = None,
        padding: NDArray[np.bool_] | None = None,
        positions: NDArray[np.integer[Any]] | None = None,
        dropout: DropoutSeeds | None = None,
        record: Recorder | None = None,
        last_only: bool = False,
        recompute: bool = False,
    ) -> Any:
        """Logits of the next token after every position.

        Args:
            ids: Token ids (B, T).
            params: Tape variables or torch tensors to use instead of the decoder's own arrays.
            cache: Keys and values of the tokens before `ids`; those of `ids` are added.
            padding: True for real tokens, False for padding, over cached and new tokens (B, S).
            positions: Position of every token (B, T); by default they count on from the cache.
            dropout: Seeds of dropout while training; None: no dropout.
            record: Collects attention weights and hidden states if given.
            last_only: Compute logits after the last position alone, which is all that generation reads of a
                prompt; for inference, not on tape variables.
            recompute: Keep only the input of each block for the backward pass, which runs the block again: the
                same bits with less memory and more time (`model/recompute.py`).

        Returns:
            Logits (B, T, V), or (B, 1, V).

        Raises:
            ConfigError: An id lies outside the vocabulary, a position outside the context, or the padding has
                another shape than the tokens.
        """
        run = self._prepare(ids, params, cache, padding, positions, dropout, record)
        return ops.linear(self._hidden(ids, run, last_only, recompute), self._output_matrix(run))

    def _hidden(
        self, ids: NDArray[np.integer[Any]], run: ForwardPass, last_only: bool = False, recompute: bool = False
    ) -> Any:
        """What the output matrix turns into logits: (B, T, D), or (B, 1, D)."""
        x = ops.embedding(run.params[EMBEDDING], ids=ids)
        x = self.positions.embed(x, run)
        x = drop(x, self.config.dropout_of("embedding"), run.dropout)
        _record(x, run.recorder)
        for block in self.blocks:
            x = recomputed(block, x, run) if recompute else block(x, run)
            _record(x, run.recorder)
        if last_only:
            x = x[:, -1:]
        if self.final_norm is not None:
            x = self.final_norm(x, run)
        if run.cache is not None:
            run.cache.advance(ids.shape[1])
        return x

    def _output_matrix(self, run: ForwardPass) -> Any:
        return run.params[EMBEDDING if self.config.tie_embeddings else HEAD]

    def loss(
        self,
        ids: NDArray[np.integer[Any]],
        targets: NDArray[np.integer[Any]],
        *,
        params: Mapping[str, Any] | None = None,
        dropout: DropoutSeeds | None = None,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        denominator: float | None = None,
        recompute: bool = False,
    ) -> Any:
        """Cross-entropy of `targets` (B, T) in nats; targets of -100 do not count.

        Args:
            ids: Token ids (B, T).
            targets: The token that follows each of them.
            params: As in `forward`.
            dropout: As in `forward`.
            label_smoothing: Share of the target spread evenly over the vocabulary.
            z_loss: Weight of the squared log-normaliser.
            denominator: What the summed loss is divided by; the number of targets that count by default.
            recompute: As in `forward`.
        """
        run = self._prepare(ids, params, None, None, None, dropout, None)
        return self.loss_of(
            run,
            ids,
            targets,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
            denominator=denominator,
            recompute=recompute,
        )

    def loss_of(
        self, run: ForwardPass, ids: Any, targets: Any, *, recompute: bool = False, **settings: Any
    ) -> Any:
        """As `loss`, in a forward pass that is prepared and checked already; `settings` are those of the op."""
        hidden = self._hidden(ids, run, recompute=recompute)
        return ops.linear_cross_entropy(hidden, self._output_matrix(run), targets=targets, **settings)

    def summary(self) -> Summary:
        """Parameters, FLOPs and bytes by part."""
        return summarise(self.config, self.parameters)

    def check(self, ids: NDArray[np.integer[Any]], positions: NDArray[np.integer[Any]]) -> None:
        """Refuse token ids (B, T) and positions that the model does not have; `forward` does so by itself.

        Raises:
            ConfigError: An id lies outside the vocabulary, a position outside the context, or the shape is
                another.
        """
        if ids.ndim != 2:
            raise ConfigError(
                f"token ids must have shape (batch, time); they have shape {ids.shape}",
                hint="put one row of ids in a list: [ids]",
            )
        if ids.size and (ids.min() < 0 or ids.max() >= (self.config.vocab_size or 0)):
            raise ConfigError(
                f"token ids must lie in [0, {self.config.vocab_size}); they range from {ids.min()} to {ids.max()}",
                hint="encode the text with the tokenizer that belongs to this model",
            )
        if positions.size and (positions.min() < 0 or positions.max() >= self.config.context_length):
            outside = positions.min() if positions.min() < 0 else positions.max()
            raise ConfigError(
                f"position {outside} is outside the context of {self.config.context_length} tokens",
                hint="shorten the input, or train with a larger model.context_length",
            )

    def _prepare(
        self,
        ids: NDArray[np.integer[Any]],
        params: Mapping[str, Any] | None,
        cache: KVCache | None,
        padding: NDArray[np.bool_] | None,
        positions: NDArray[np.integer[Any]] | None,
        dropout: DropoutSeeds | None,
        record: Recorder | None,
    ) -> ForwardPass:
        """Check what was given and gather it."""
        start = 0 if cache is None else cache.length
        if positions is None:
            positions = np.arange(start, start + (ids.shape[1] if ids.ndim == 2 else 0))[None]
        self.check(ids, positions)
        if padding is not None and padding.shape != (len(ids), start + ids.shape[1]):
            raise ConfigError(
                f"padding has shape {padding.shape}; for the cached and new tokens it must be "
                f"{(len(ids), start + ids.shape[1])}",
                hint="give one flag for every token of every row, True where it is real",
            )
        used = self.parameters if params is None else params
        return ForwardPass(used, positions, _dtype_of(used[EMBEDDING]), cache, padding, dropout, record)


def _dtype_of(parameter: Any) -> np.dtype[Any]:
    """Element type of an array, a tape variable or a torch tensor (float32 for types NumPy does not have)."""
    name = str(parameter.dtype).removeprefix("torch.")
    return np.dtype(name if name in ("float32", "float64") else "float32")


def _record(x: Any, record: Recorder | None) -> None:
    if record is not None:
        record.hidden.append(getattr(x, "value", x))
