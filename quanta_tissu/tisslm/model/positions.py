"""Position variants: how the model knows the order of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.model.parameter import ParameterSpec


@dataclass(frozen=True)
class NoPositions:
    """No positions: only the causal mask tells order. Also the base of the other variants."""

    config: ModelConfig

    def specs(self) -> Iterator[ParameterSpec]:
        """The parameters it needs."""
        return iter(())

    def embed(self, x: Any, run: ForwardPass) -> Any:
        """Add positions to the token embeddings, (B, T, D) → (B, T, D)."""
        return x

    def rotate(self, x: Any, heads: int, run: ForwardPass) -> Any:
        """Rotate the first `heads` heads (queries and keys) by their positions, (B, T, H, E) → (B, T, H, E)."""
        return x


@dataclass(frozen=True)
class LearnedPositions(NoPositions):
    """A learned vector for each position, added to the token embedding (Vaswani et al. 2017, section 3.5)."""

    name: str = "model.embed_positions.weight"

    def specs(self) -> Iterator[ParameterSpec]:
        """The parameters it needs."""
        yield ParameterSpec(self.name, (self.config.context_length, self.config.d_model), "embedding")

    def embed(self, x: Any, run: ForwardPass) -> Any:
        """Add the vectors of the positions."""
        positions = run.positions[0] if len(run.positions) == 1 else run.positions
        return ops.add(x, ops.embedding(run.params[self.name], ids=positions))


@dataclass(frozen=True)
class SinusoidalPositions(NoPositions):
    """Fixed waves added to the token embedding (Vaswani et al. 2017, section 3.5)."""

    def embed(self, x: Any, run: ForwardPass) -> Any:
        """Add sin(p / 10000^(2i/D)) at dimension 2i and the cosine at 2i + 1."""
        cos, sin = angles(self.config.context_length, self.config.d_model, 10_000.0, run.dtype)
        waves = np.stack([sin[run.positions], cos[run.positions]], axis=-1)
        return ops.add(x, waves.reshape(*run.positions.shape, self.config.d_model))


@dataclass(frozen=True)
class RotaryPositions(NoPositions):
    """Queries and keys turned by angles proportional to their position (Su et al. 2021, arXiv:2104.09864)."""

    def rotate(self, x: Any, heads: int, run: ForwardPass) -> Any:
        """Turn pairs of dimensions; the scalar product of a query and a key then depends on their distance."""
        if run.angles is None:
            config = self.config
            cos, sin = angles(config.context_length, config.head_dim, config.rope_theta, run.dtype)
            run.angles = (cos[run.positions], sin[run.positions])
        cos, sin = run.angles
        return ops.rope(x, cos=cos, sin=sin, interleaved=self.config.rope_interleaved, heads=heads)


Positions = NoPositions

POSITIONS: dict[str, Callable[[ModelConfig], Positions]] = {
    "rotary": RotaryPositions,
    "learned": LearnedPositions,
    "sinusoidal": SinusoidalPositions,
    "none": NoPositions,
}


def make_positions(config: ModelConfig) -> Positions:
    """The positions that the configuration names."""
    return POSITIONS[config.positions](config)


@lru_cache(maxsize=16)
def angles(length: int, width: int, theta: float, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cosines and sines of p / theta^(2i/width), each (length, width / 2); computed in float64."""
    frequencies = theta ** (-np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * frequencies
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
