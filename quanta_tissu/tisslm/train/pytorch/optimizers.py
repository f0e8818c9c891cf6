"""The optimizers on torch tensors: `torch.optim` where it has the same rule, our own where it has not.

State is kept as in `train/optimizers`, under the same names, so that a run can go on with either.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm.config import OptimizerConfig
from quanta_tissu.tisslm.model import Parameters
from quanta_tissu.tisslm.train.pytorch.weights import Piece, Weights

Flat = NDArray[Any]


class TorchOptimizer(ABC):
    """An update rule over the pieces of the weights.

    Args:
        config: The `optimizer` section.
        weights: What to update.

    Attributes:
        steps: Updates made so far.
        state: The buffers of the rule by name; one tensor for each piece.
    """

    buffers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: OptimizerConfig, weights: Weights) -> None:
        self.config = config
        self.weights = weights
        self.learning_rate = config.learning_rate
        self.steps = 0
        self.state = {name: weights.zeros() for name in self.buffers}

    def step(self, gradients: Any, *, factor: float = 1.0, gradient_scale: float = 1.0) -> None:
        """Update all weights; the gradients are changed.

        Args:
            gradients: One tensor for each piece.
            factor: What the schedule makes of the learning rate at this step.
            gradient_scale: Factor on the gradient, from clipping by norm.
        """
        self.steps += 1
        with torch.no_grad():
            if gradient_scale != 1:
                torch._foreach_mul_(list(gradients), gradient_scale)
            self.update(gradients, factor)

    @abstractmethod
    def update(self, gradients: Sequence[torch.Tensor], factor: float) -> None:
        """Update all pieces in place."""

    def state_dict(self) -> dict[str, Flat]:
        """The state as flat arrays by name."""
        found = {}
        for name, tensors in self.state.items():
            host = self.weights.blank()
            self.weights.to_host(tensors, host)
            found[name] = host.flat
        return found

    def load_state_dict(self, state: Mapping[str, Flat], steps: int) -> None:
        """Take over the state of an optimizer of the same kind, of any engine.

        Raises:
            CheckpointError: Names or shapes are not those of this optimizer.
        """
        specs = self.weights.decoder.parameters.specs
        shape = (Parameters.flat_size(specs),)
        if set(state) != set(self.state) or any(buffer.shape != shape for buffer in state.values()):
            raise CheckpointError(
                f"the saved optimizer state has {sorted(state)}; {self.config.name} for this model has "
                f"{sorted(self.state)} of {shape[0]:,} elements",
                hint="resume with the optimizer and the architecture of the run",
            )
        for name, tensors in self.state.items():
            self.weights.from_host(Parameters(specs, state[name]), tensors)
        self.steps = steps


class Library(TorchOptimizer):
    """A rule of `torch.optim`; its state is our buffers.

    Attributes:
        names: Our names of the buffers → PyTorch's.
    """

    names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, config: OptimizerConfig, weights: Weights) -> None:
        super().__init__(config, weights)
        # A process may hold nothing of a small parameter.
        self._used = [i for i, piece in enumerate(weights.pieces) if piece.value.numel() and not piece.orthogonal]
        pieces = [weights.pieces[i] for i in self._used]
        self._rule = self.make([{"params": [p.value], "weight_decay": p.weight_decay} for p in pieces])
        self._counts: list[torch.Tensor] = []
        for i, piece in zip(self._used, pieces, strict=True):
            count = torch.zeros((), device=piece.value.device if self._fused(piece) else "cpu")
            buffers = {theirs: self.state[ours][i] for ours, theirs in self.names.items()}
            self._rule.state[piece.value] = buffers | {"step": count}
            self._counts.append(count)

    @abstractmethod
    def make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer of the library."""

    def update(self, gradients: Sequence[torch.Tensor], factor: float) -> None:
        """Let the library do it."""
        for group, count, i in zip(self._rule.param_groups, self._counts, self._used, strict=True):
            piece = self.weights.pieces[i]
            group["lr"] = self.learning_rate * factor * piece.learning_rate_scale
            count.fill_(self.steps - 1)  # it counts by itself
            piece.value.grad = gradients[i]
        self._rule.step()

    def _fused(self, piece: Piece) -> bool:
        return bool(self._rule.defaults.get("fused"))


class AdamW(Library):
    """As `optimizers.adam.AdamW`."""

    buffers = ("first_moment", "second_moment")
    names: ClassVar[Mapping[str, str]] = {"first_moment": "exp_avg", "second_moment": "exp_avg_sq"}

    def make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The fused kernel: a single pass over memory."""
        return torch.optim.AdamW(groups, betas=self.config.betas, eps=self.config.eps, fused=True)


class Adam(AdamW):
    """As `optimizers.adam.Adam`: decay is an L2 penalty in the gradient."""

    def make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The fused kernel."""
        return torch.optim.Adam(groups, betas=self.config.betas, eps=self.config.eps, fused=True)


class SGD(Library):
    """As `optimizers.sgd.SGD`."""

    buffers = ("momentum",)
    names: ClassVar[Mapping[str, str]] = {"momentum": "momentum_buffer"}

    def make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Heavy-ball or Nesterov momentum; PyTorch has no Nesterov without momentum."""
        momentum = self.config.momentum
        return torch.optim.SGD(groups, lr=1.0, momentum=momentum, nesterov=self.config.nesterov and momentum > 0)


class RMSProp(Library):
    """As `optimizers.rmsprop.RMSProp`."""

    buffers = ("mean_square", "momentum")
    names: ClassVar[Mapping[str, str]] = {"mean_square": "square_avg", "momentum": "momentum_buffer"}

    def make(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Not centred."""
        c = self.config
        return torch.optim.RMSprop(groups, alpha=c.alpha, eps=c.eps, momentum=c.momentum)


class Lion(TorchOptimizer):
    """As `optimizers.lion.Lion`, which PyTorch does not have."""

    buffers = ("momentum",)

    def update(self, gradients: Sequence[torch.Tensor], factor: float) -> None:
        """The equations of `optimizers.lion.Lion`, in their order."""
        beta1, beta2 = self.config.betas
        for piece, momentum, g in zip(self.weights.pieces, self.state["momentum"], gradients, strict=True):
            rate = self.learning_rate * factor * piece.learning_rate_scale
            direction = torch.lerp(g, momentum, beta1).sign_()
            piece.value.mul_(1 - rate * piece.weight_decay).sub_(direction, alpha=rate)
            momentum.lerp_(g, 1 - beta2)


class Muon(AdamW):
    """As `optimizers.muon.Muon`: hidden matrices orthogonalised, AdamW for everything else."""

    def update(self, gradients: Sequence[torch.Tensor], factor: float) -> None:
        """The equations of `optimizers.muon.Muon`, in their order."""
        super().update(gradients, factor)
        for i, direction in self.weights.of_matrices(self._direction, self._ahead(gradients)):
            piece = self.weights.pieces[i]
            rate = self.config.muon_learning_rate * factor * piece.learning_rate_scale
            piece.value.mul_(1 - rate * piece.weight_decay).sub_(direction, alpha=rate)

    def _ahead(self, gradients: Sequence[torch.Tensor]) -> Iterator[tuple[int, torch.Tensor]]:
        """What is orthogonalised of each matrix, when it is its turn."""
        c, momenta = self.config, self.state["first_moment"]
        for i, (piece, momentum, g) in enumerate(zip(self.weights.pieces, momenta, gradients, strict=True)):
            if piece.orthogonal:
                momentum.lerp_(g, 1 - c.momentum)
                yield i, torch.lerp(g, momentum, c.momentum) if c.nesterov else momentum

    def _direction(self, matrix: torch.Tensor) -> torch.Tensor:
        rows, columns = matrix.shape
        return orthogonalise(matrix, self.config.newton_schulz_steps) * math.sqrt(max(1.0, rows / columns))


def orthogonalise(matrix: torch.Tensor, steps: int, eps: float = 1e-7) -> torch.Tensor:
    """As `optimizers.muon.orthogonalise`."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


OPTIMIZERS: dict[str, type[TorchOptimizer]] = {
    "adamw": AdamW,
    "adam": Adam,
    "sgd": SGD,
    "rmsprop": RMSProp,
    "lion": Lion,
    "muon": Muon,
}


class TorchAverage:
    """Exponential moving average of the weights; the arithmetic of `train/ema.py`.

    Args:
        weights: What is averaged.
        decay: Limit of the average's decay.

    Attributes:
        tensors: The average, one tensor for each piece.
        updates: Updates made so far.
    """

    def __init__(self, weights: Weights, decay: float) -> None:
        self.weights = weights
        self.decay = decay
        self.tensors = weights.zeros()
        torch._foreach_copy_(self.tensors, weights.values)
        self.updates = 0

    def update(self) -> None:
        """Take the current weights in."""
        self.updates += 1
        rest = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.tensors, self.weights.values, rest)

    def exchange(self) -> None:
        """Put the average in the place of the weights, or back."""
        for average, value in zip(self.tensors, self.weights.values, strict=True):
            kept = value.clone()
            value.copy_(average)
            average.copy_(kept)

    def host(self) -> Flat:
        """The average as a flat array."""
        host = self.weights.blank()
        self.weights.to_host(self.tensors, host)
        return host.flat

    def load(self, average: Flat, updates: int) -> None:
        """Take over the average of a checkpoint."""
        self.weights.from_host(self.weights.decoder.parameters.like(average), self.tensors)
        self.updates = updates
