"""What a training step needs of whoever holds the weights and differentiates the loss.

`Replicas` does it on threads with NumPy, `TorchReplica` (train/pytorch/replica.py) with PyTorch, on a GPU or as
one of several processes. Trainer, checkpoints, clipping, guard, schedules and averages know only this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from quanta_tissu.tisslm.config import OptimizerConfig
from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.model import Decoder, Parameters

Flat = NDArray[Any]


@dataclass(frozen=True)
class Evaluation:
    """A loss over many batches.

    Attributes:
        loss: Mean over all predicted tokens, in nats.
        tokens: Number of predicted tokens.
    """

    loss: float
    tokens: int


class Updater(Protocol):
    """An update rule with its state, wherever the weights are.

    Attributes:
        learning_rate: Peak learning rate.
        steps: Updates made so far.
    """

    learning_rate: float
    steps: int

    def step(self, gradients: Any, *, factor: float = 1.0, gradient_scale: float = 1.0) -> None:
        """Update all weights; `gradients` is the `flat` of what `loss_and_gradients` gave."""

    def state_dict(self) -> dict[str, Flat]:
        """The buffers of the rule as flat arrays of the host, by name."""

    def load_state_dict(self, state: Mapping[str, Flat], steps: int) -> None:
        """Take over the state of another optimizer of the same kind."""


class Average(Protocol):
    """A moving average of the weights, wherever they are.

    Attributes:
        updates: Updates made so far.
    """

    updates: int

    def update(self) -> None:
        """Take the current weights in."""

    def host(self) -> Flat:
        """The average as a flat array of the host."""

    def load(self, average: Flat, updates: int) -> None:
        """Take over the average of a checkpoint."""


class Differentiator(Protocol):
    """Holds the weights of a run and differentiates its loss."""

    @property
    def decoder(self) -> Decoder:
        """The model; where its arrays are, only `to_host` tells what the weights are now."""

    @property
    def count(self) -> int:
        """Number of replicas in this process."""

    @property
    def parameters(self) -> Mapping[str, Flat]:
        """Weights by name, as far as they are arrays of the host."""

    @property
    def gradients(self) -> Mapping[str, Flat]:
        """Gradients of the last step by name, as far as they are arrays of the host."""

    @property
    def description(self) -> str | None:
        """What people should know about where the run takes place; None: the number of replicas says it."""

    def make_optimizer(self, config: OptimizerConfig) -> Updater:
        """The configured optimizer over the weights."""

    def make_average(self, decay: float) -> Average:
        """A moving average of the weights."""

    def loss_and_gradients(
        self, batches: Sequence[Batch], *, dropout: tuple[int, ...] | None = None, loss_scale: float = 1.0
    ) -> tuple[float, Any]:
        """Mean training loss over all targets of the batches, and its gradient, until the next call.

        What is differentiated is `loss_scale` (a power of two) times the loss; neither result is scaled.
        """

    def clip_by_value(self, gradients: Any, limit: float) -> None:
        """Clip every element of the gradients in place."""

    def squared_norm(self, gradients: Any) -> float:
        """Sum of squares of all gradients."""

    def validate(self, batches: Iterable[Batch], average: Any, cancelled: Callable[[], bool]) -> Evaluation | None:
        """Mean cross-entropy over the batches with the weights, or with their average; None if cancelled."""

    def host_gradients(self, gradients: Any) -> Mapping[str, Flat]:
        """The gradients as arrays of the host, by name."""

    def to_host(self) -> Parameters:
        """The weights as arrays of the host, valid until the next step."""

    def from_host(self, host: Parameters) -> None:
        """Take the weights from arrays of the host, those of a checkpoint."""

    def close(self) -> None:
        """Free threads and connections."""


@dataclass(frozen=True)
class Snapshot:
    """All weights and buffers of a run at one moment, as arrays of the host.

    Attributes:
        evaluated: The weights that are evaluated and saved for use: their average if there is one.
        buffers: Content of optimizer.safetensors.
    """

    evaluated: Parameters
    buffers: Mapping[str, Flat]
