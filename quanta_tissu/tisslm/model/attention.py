"""Self-attention as a module: project, position, attend, project back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.dropout import drop
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.model.linear import Linear
from quanta_tissu.tisslm.model.parameter import ParameterSpec
from quanta_tissu.tisslm.model.positions import Positions
from quanta_tissu.tisslm.ops.attention import attention_weights


@dataclass(frozen=True)
class SelfAttention:
    """Causal self-attention with any number of key-value heads: multi-head, grouped-query, multi-query.

    Attributes:
        qkv: One packed projection to queries, keys and values.
        out: Projection back into the residual stream.
    """

    layer: int
    config: ModelConfig
    positions: Positions
    qkv: Linear
    out: Linear

    @classmethod
    def make(cls, layer: int, config: ModelConfig, positions: Positions) -> SelfAttention:
        """The attention of block `layer`."""
        name = f"model.layers.{layer}.self_attn"
        width, queries, keys = config.d_model, config.n_heads * config.head_dim, config.kv_heads * config.head_dim
        return cls(
            layer,
            config,
            positions,
            Linear(f"{name}.qkv_proj", width, (queries, keys, keys), config.bias),
            Linear(f"{name}.o_proj", queries, (width,), config.bias, residual=True),
        )

    def specs(self) -> Iterator[ParameterSpec]:
        """The parameters it needs."""
        yield from self.qkv.specs()
        yield from self.out.specs()

    def __call__(self, x: Any, run: ForwardPass) -> Any:
        """(B, T, D) → (B, T, D)."""
        config = self.config
        batch, time = x.shape[:2]
        packed = ops.reshape(self.qkv(x, run), shape=(batch, time, -1, config.head_dim))
        packed = self.positions.rotate(packed, config.n_heads + config.kv_heads, run)
        q, k, v = ops.split(packed, sizes=(config.n_heads, config.kv_heads, config.kv_heads), axis=-2)
        if run.cache is not None:
            k, v = run.cache.update(self.layer, k, v)
        if run.recorder is not None:
            weights = attention_weights(
                *(getattr(x, "value", x) for x in (q, k)), window=config.sliding_window, key_mask=run.key_mask
            )
            run.recorder.attention.append(weights)
        mixed = self.mix(q, k, v, run)
        mixed = ops.reshape(mixed, shape=(batch, time, config.n_heads * config.head_dim))
        return drop(self.out(mixed, run), config.dropout_of("residual"), run.dropout)

    def mix(self, q: Any, k: Any, v: Any, run: ForwardPass) -> Any:
        """Values as queries weigh them: q (B, T, H, E), k and v (B, S, K, E) → (B, T, H, E)."""
        probability = self.config.dropout_of("attention") if run.dropout is not None else 0.0
        return ops.attention(
            q,
            k,
            v,
            window=self.config.sliding_window,
            key_mask=run.key_mask,
            dropout=probability,
            seed=run.dropout.next() if run.dropout is not None and probability else None,
        )
