"""Feed-forward variants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.dropout import drop
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.model.linear import Linear
from quanta_tissu.tisslm.model.parameter import ParameterSpec

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "swiglu": ops.swiglu,  # reads the gate and the value from one packed projection
    "gelu": ops.gelu,
    "gelu_tanh": ops.gelu_tanh,
    "relu": ops.relu,
}


@dataclass(frozen=True)
class FeedForward:
    """Two linear layers with an activation between them, applied to every position alike.

    Attributes:
        up: Projection to the wide layer; for SwiGLU the gate is packed before the value.
        down: Projection back into the residual stream.
    """

    config: ModelConfig
    up: Linear
    down: Linear

    @classmethod
    def make(cls, layer: int, config: ModelConfig) -> FeedForward:
        """The feed-forward part of block `layer`."""
        name, width = f"model.layers.{layer}.mlp", config.ff_width
        if config.feed_forward == "swiglu":
            up = Linear(f"{name}.gate_up_proj", config.d_model, (width, width), config.bias)
        else:
            up = Linear(f"{name}.up_proj", config.d_model, (width,), config.bias)
        return cls(config, up, Linear(f"{name}.down_proj", width, (config.d_model,), config.bias, residual=True))

    def specs(self) -> Iterator[ParameterSpec]:
        """The parameters it needs."""
        yield from self.up.specs()
        yield from self.down.specs()

    def __call__(self, x: Any, run: ForwardPass) -> Any:
        """(B, T, D) → (B, T, D)."""
        wide = ACTIVATIONS[self.config.feed_forward](self.up(x, run))
        return drop(self.down(wide, run), self.config.dropout_of("residual"), run.dropout)
