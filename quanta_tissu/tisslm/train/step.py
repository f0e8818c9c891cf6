"""One training step: gradients of a batch, guarded, clipped, and made into an update."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.model import Parameters
from quanta_tissu.tisslm.train.clipping import clip_by_value, norm_scale
from quanta_tissu.tisslm.train.ema import WeightAverage
from quanta_tissu.tisslm.train.guard import SpikeDetector, require_finite
from quanta_tissu.tisslm.train.optimizers import make_optimizer
from quanta_tissu.tisslm.train.replicas import Replicas
from quanta_tissu.tisslm.train.schedules import learning_rate_factor


@dataclass(frozen=True)
class StepOutcome:
    """What a step came to.

    Attributes:
        loss: Training loss of the batch, in nats per token.
        gradient_norm: Global norm of the gradient before clipping by norm.
        learning_rate: The optimizer's learning rate.
        gradients: The gradients, until the next step overwrites them.
        skipped: Why the update was left out; None if it was made.
    """

    loss: float
    gradient_norm: float
    learning_rate: float
    gradients: Parameters
    skipped: str | None = None


class TrainStep:
    """Everything that happens to the weights in one step.

    Args:
        config: The sections `optimizer`, `schedule` and `train` are used.
        replicas: They differentiate the loss, and lend their threads to the optimizer.

    Attributes:
        optimizer: The update rule and its state.
        average: Moving average of the weights, if the configuration asks for one.
    """

    def __init__(self, config: Config, replicas: Replicas) -> None:
        parameters = replicas.decoder.parameters
        self.config = config
        self.replicas = replicas
        self.optimizer = make_optimizer(config.optimizer, parameters, team=replicas.team)
        decay = config.train.ema_decay
        self.average = None if decay is None else WeightAverage(parameters.flat, decay)
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
            TrainingError: The loss or the gradient is not finite; the weights are as they were.
        """
        train = self.config.train
        loss, gradients = self.replicas.loss_and_gradients(batches, dropout=(train.seed, step))
        if train.clip_value is not None:
            clip_by_value(gradients.flat, train.clip_value)
        norm = math.sqrt(self.replicas.squared_norm(gradients))
        require_finite(step + 1, loss, norm)
        factor = learning_rate_factor(self.config.schedule, step, total_steps)
        outcome = StepOutcome(
            loss, norm, self.optimizer.learning_rate * factor, gradients, self._spike(loss, norm)
        )
        if outcome.skipped is None:
            scale = 1.0 if train.clip_norm is None else norm_scale(norm, train.clip_norm)
            self.optimizer.step(gradients.flat, factor=factor, gradient_scale=scale)
            if self.average is not None:
                self.average.update()
        return outcome

    @property
    def evaluated_parameters(self) -> Parameters:
        """The weights that are evaluated and saved: their average if there is one."""
        parameters = self.replicas.decoder.parameters
        return parameters if self.average is None else parameters.like(self.average.average)

    def spike_windows(self) -> dict[str, list[float]]:
        """State of the spike detectors, for a checkpoint."""
        return {name: list(detector.values) for name, detector in self._detectors.items()}

    def restore_spike_windows(self, windows: Mapping[str, Any]) -> None:
        """Take over what `spike_windows` gave; detectors that were not on before start empty."""
        for name, detector in self._detectors.items():
            detector.values.extend(windows.get(name, ()))

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
