"""One training step: gradients of a batch, guarded, clipped, and made into an update."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.train.clipping import norm_scale
from quanta_tissu.tisslm.train.differentiator import Differentiator, Evaluation, Snapshot
from quanta_tissu.tisslm.train.guard import SpikeDetector, require_finite
from quanta_tissu.tisslm.train.loss_scale import LossScale
from quanta_tissu.tisslm.train.schedules import learning_rate_factor

WEIGHTS = "parameters"
"""Buffer of a checkpoint that holds the weights themselves, where the model in it is their average."""


@dataclass(frozen=True)
class StepOutcome:
    """What a step came to.

    Attributes:
        loss: Training loss of the batch, in nats per token.
        gradient_norm: Global norm of the gradient before clipping by norm.
        learning_rate: The optimizer's learning rate.
        gradients: The gradients, as `Differentiator.host_gradients` takes them, until the next step.
        skipped: Why the update was left out; None if it was made.
        loss_scale: What the loss was multiplied by for the gradients' sake; None where that is not done.
    """

    loss: float
    gradient_norm: float
    learning_rate: float
    gradients: Any
    skipped: str | None = None
    loss_scale: float | None = None


class TrainStep:
    """Everything that happens to the weights in one step.

    Args:
        config: The sections `optimizer`, `schedule` and `train` are used.
        replicas: They hold the weights, differentiate the loss, and make the optimizer.

    Attributes:
        optimizer: The update rule and its state.
        average: Moving average of the weights, if the configuration asks for one.
        loss_scale: Keeps gradients within the range of float16, if that is the precision.
    """

    def __init__(self, config: Config, replicas: Differentiator) -> None:
        self.config = config
        self.replicas = replicas
        self.optimizer = replicas.make_optimizer(config.optimizer)
        decay = config.train.ema_decay
        self.average = None if decay is None else replicas.make_average(decay)
        scaled = config.train.precision == "float16"
        self.loss_scale = LossScale(config.train.loss_scale, config.train.loss_scale_interval) if scaled else None
        threshold = config.train.spike_threshold
        names = [] if threshold is None else ["loss", "gradient norm"]
        self._detectors = {name: SpikeDetector(threshold or 0.0) for name in names}

    def __call__(self, batches: Sequence[Batch], step: int, total_steps: int) -> StepOutcome:
        """Make one step.

        Args:
            batches: Its micro-batches.
            step: Steps made before; it decides the learning rate and the dropout masks.
            total_steps: Length of the run, for the schedule.

        Raises:
            TrainingError: The loss or the gradient is not finite, and no loss scale is to blame for it; the
                weights are as they were.
        """
        train = self.config.train
        scale = None if self.loss_scale is None else self.loss_scale.value
        loss, gradients = self.replicas.loss_and_gradients(
            batches, dropout=(train.seed, step), loss_scale=scale or 1.0
        )
        norm = math.sqrt(self.replicas.squared_norm(gradients))
        factor = learning_rate_factor(self.config.schedule, step, total_steps)
        skipped = self._overflow(loss, norm)
        if skipped is None:
            require_finite(step + 1, loss, norm, float16=scale is not None)
            if train.clip_value is not None:
                self.replicas.clip_by_value(gradients, train.clip_value)
                norm = math.sqrt(self.replicas.squared_norm(gradients))
            skipped = self._spike(loss, norm)
        if skipped is None:
            clip = 1.0 if train.clip_norm is None else norm_scale(norm, train.clip_norm)
            self.optimizer.step(gradients.flat, factor=factor, gradient_scale=clip)
            if self.average is not None:
                self.average.update()
        return StepOutcome(loss, norm, self.optimizer.learning_rate * factor, gradients, skipped, scale)

    def validate(self, batches: Iterable[Batch], cancelled: Callable[[], bool]) -> Evaluation | None:
        """Evaluate the weights, or their average if there is one; None if that was cancelled."""
        return self.replicas.validate(batches, self.average, cancelled)

    def snapshot(self) -> Snapshot:
        """Weights and buffers for a checkpoint; they are valid until the next step."""
        weights, buffers = self.replicas.to_host(), self.optimizer.state_dict()
        if self.average is None:
            return Snapshot(weights, buffers)
        return Snapshot(weights.like(self.average.host()), buffers | {WEIGHTS: weights.flat})

    def spike_windows(self) -> dict[str, list[float]]:
        """State of the spike detectors, for a checkpoint."""
        return {name: list(detector.values) for name, detector in self._detectors.items()}

    def restore_spike_windows(self, windows: Mapping[str, Any]) -> None:
        """Take over what `spike_windows` gave; detectors that were not on before start empty."""
        for name, detector in self._detectors.items():
            detector.values.extend(windows.get(name, ()))

    def _overflow(self, loss: float, norm: float) -> str | None:
        """Whether the loss scale was too large for the gradients, as a sentence; it is smaller then.

        A loss that is not finite is another matter: no scale goes into it.
        """
        if self.loss_scale is None or not math.isfinite(loss):
            return None
        before = self.loss_scale.value
        if not self.loss_scale.is_too_large(math.isfinite(norm)):
            return None
        return (
            f"a gradient overflowed float16 with the loss multiplied by {before:,.0f}, "
            f"from now on by {self.loss_scale.value:,.0f}"
        )

    def _spike(self, loss: float, norm: float) -> str | None:
        """What lies too far above its recent mean, as a sentence; None if nothing does."""
        values = {"loss": loss, "gradient norm": norm}
        found = {name: detector.observe(values[name]) for name, detector in self._detectors.items()}
        told = [
            f"the {name} of {values[name]:.4g} is a spike (z = {z:.1f})"
            for name, z in found.items()
            if z is not None
        ]
        return "; ".join(told) or None
