"""A linear layer as a module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.model.parameter import ParameterSpec


@dataclass(frozen=True)
class Linear:
    """y = x Wᵀ (+ b), with the matrices of several projections possibly packed along the rows of W.

    Attributes:
        name: Prefix of its parameters.
        inputs: Width of the input.
        outputs: Width of each projection; one number for an ordinary layer.
        bias: Whether there is a bias.
        residual: Whether the output is added to the residual stream.
    """

    name: str
    inputs: int
    outputs: tuple[int, ...]
    bias: bool
    residual: bool = False

    def specs(self) -> Iterator[ParameterSpec]:
        """The parameters it needs."""
        height = sum(self.outputs)
        yield ParameterSpec(f"{self.name}.weight", (height, self.inputs), "matrix", self.residual, self.outputs)
        if self.bias:
            yield ParameterSpec(f"{self.name}.bias", (height,), "zeros", parts=self.outputs)

    def __call__(self, x: Any, run: ForwardPass) -> Any:
        """(…, inputs) → (…, sum of outputs)."""
        bias = run.params[f"{self.name}.bias"] if self.bias else None
        return ops.linear(x, run.params[f"{self.name}.weight"], bias)
