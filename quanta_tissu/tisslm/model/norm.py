"""Normalisation variants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.model.parameter import ParameterSpec


@dataclass(frozen=True)
class RMSNorm:
    """Rows scaled to unit root mean square, then by a learned weight."""

    name: str
    width: int
    eps: float

    def specs(self) -> Iterator[ParameterSpec]:
        """The parameters it needs."""
        yield ParameterSpec(f"{self.name}.weight", (self.width,), "ones")

    def __call__(self, x: Any, run: ForwardPass) -> Any:
        """(…, D) → (…, D)."""
        return ops.rms_norm(x, run.params[f"{self.name}.weight"], eps=self.eps)

    def of_sum(self, x: Any, y: Any, run: ForwardPass) -> tuple[Any, Any]:
        """The sum x + y, and its norm; all (…, D)."""
        sum_and_norm: tuple[Any, Any] = ops.add_rms_norm(x, y, run.params[f"{self.name}.weight"], eps=self.eps)
        return sum_and_norm


@dataclass(frozen=True)
class LayerNorm:
    """Rows shifted to mean zero and scaled to unit variance, then by a learned weight (and bias)."""

    name: str
    width: int
    eps: float
    bias: bool

    def specs(self) -> Iterator[ParameterSpec]:
        """The parameters it needs."""
        yield ParameterSpec(f"{self.name}.weight", (self.width,), "ones")
        if self.bias:
            yield ParameterSpec(f"{self.name}.bias", (self.width,), "zeros")

    def __call__(self, x: Any, run: ForwardPass) -> Any:
        """(…, D) → (…, D)."""
        return ops.layer_norm(x, *self._parameters(run), eps=self.eps)

    def of_sum(self, x: Any, y: Any, run: ForwardPass) -> tuple[Any, Any]:
        """The sum x + y, and its norm; all (…, D)."""
        sum_and_norm: tuple[Any, Any] = ops.add_layer_norm(x, y, *self._parameters(run), eps=self.eps)
        return sum_and_norm

    def _parameters(self, run: ForwardPass) -> tuple[Any, Any]:
        return run.params[f"{self.name}.weight"], run.params[f"{self.name}.bias"] if self.bias else None


Norm = RMSNorm | LayerNorm

NORMS: dict[str, Callable[[str, ModelConfig], Norm]] = {
    "rms_norm": lambda name, config: RMSNorm(name, config.d_model, config.norm_eps),
    "layer_norm": lambda name, config: LayerNorm(name, config.d_model, config.norm_eps, config.bias),
}


def make_norm(name: str, config: ModelConfig) -> Norm:
    """The norm that the configuration names."""
    return NORMS[config.norm](name, config)
