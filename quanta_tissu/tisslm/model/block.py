"""One transformer block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.attention import SelfAttention
from quanta_tissu.tisslm.model.feed_forward import FeedForward
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.model.norm import Norm, make_norm
from quanta_tissu.tisslm.model.parameter import ParameterSpec
from quanta_tissu.tisslm.model.positions import Positions


@dataclass(frozen=True)
class Block:
    """Attention, then feed-forward, each added to the residual stream."""

    attention: SelfAttention
    feed_forward: FeedForward
    attention_norm: Norm
    feed_forward_norm: Norm
    pre_norm: bool

    @classmethod
    def make(
        cls, layer: int, config: ModelConfig, positions: Positions, attention: type[SelfAttention] = SelfAttention
    ) -> Block:
        """Block `layer` of the configured architecture, with this kind of attention."""
        name = f"model.layers.{layer}"
        return cls(
            attention.make(layer, config, positions),
            FeedForward.make(layer, config),
            make_norm(f"{name}.input_layernorm", config),
            make_norm(f"{name}.post_attention_layernorm", config),
            config.norm_placement == "pre",
        )

    def specs(self) -> Iterator[ParameterSpec]:
        """The parameters it needs, in the order of use."""
        for part in (self.attention_norm, self.attention, self.feed_forward_norm, self.feed_forward):
            yield from part.specs()

    def __call__(self, x: Any, run: ForwardPass) -> Any:
        """(B, T, D) → (B, T, D)."""
        if self.pre_norm:
            x, normed = self.feed_forward_norm.of_sum(x, self.attention(self.attention_norm(x, run), run), run)
            return ops.add(x, self.feed_forward(normed, run))
        x = self.attention_norm(ops.add(x, self.attention(x, run)), run)
        return self.feed_forward_norm(ops.add(x, self.feed_forward(x, run)), run)
