"""What a run tells its callbacks, and what it returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.evaluate.floors import Floors
from quanta_tissu.tisslm.train.histograms import Histogram


@dataclass(frozen=True)
class RunInfo:
    """A run that begins or goes on.

    Attributes:
        config: Its configuration.
        out_dir: Where it writes.
        first_step: Steps made before (0 for a fresh run).
        total_steps: Steps of the whole run; None if only time limits it.
        replicas: Model replicas.
        parameters: Weights by name, read-only views that follow the training; where PyTorch keeps them on a GPU,
            they are those of the last checkpoint, and none where it keeps them in parts.
        gradients: Gradients of the last step by name, read-only views; none where PyTorch keeps them on a GPU or
            in parts.
        floors: Validation losses that counting reaches, if they were computed.
    """

    config: Config
    out_dir: Path
    first_step: int
    total_steps: int | None
    replicas: int
    parameters: Mapping[str, NDArray[Any]]
    gradients: Mapping[str, NDArray[Any]]
    floors: Floors | None = None


@dataclass(frozen=True)
class StepReport:
    """One optimizer step.

    Attributes:
        step: Steps made, this one included.
        epoch: Epochs of data consumed.
        tokens: Tokens consumed.
        loss: Training loss of the step's batch, in nats per token.
        ema_loss: The same, smoothed over about 50 steps.
        learning_rate: Learning rate of the step (the optimizer's main one).
        gradient_norm: Global norm before clipping.
        step_seconds: Time of the step, waiting for data included.
        tokens_per_second: Speed of the step.
        seconds: Time since the start of the run, evaluation and saving included.
        skipped: Why the update was left out; None if it was made.
        loss_scale: What the loss was multiplied by in float16; None in other precisions.
    """

    step: int
    epoch: float
    tokens: int
    loss: float
    ema_loss: float
    learning_rate: float
    gradient_norm: float
    step_seconds: float
    tokens_per_second: float
    seconds: float
    skipped: str | None = None
    loss_scale: float | None = None


@dataclass(frozen=True)
class EvaluationReport:
    """One validation.

    Attributes:
        step: Steps made before it.
        val_loss: Mean loss over the validation tokens that were read, in nats.
        tokens: How many these are.
        best_val_loss: Best so far, this one included.
        improved: Whether this one is the best.
        seconds: Time it took.
    """

    step: int
    val_loss: float
    tokens: int
    best_val_loss: float
    improved: bool
    seconds: float

    @property
    def perplexity(self) -> float:
        """Exponential of the loss."""
        return perplexity(self.val_loss)


@dataclass(frozen=True)
class HistogramReport:
    """Distributions of weights and gradients.

    Attributes:
        step: Steps made.
        weights: By parameter name.
        gradients: Of the last step, before clipping by norm, by parameter name.
    """

    step: int
    weights: Mapping[str, Histogram]
    gradients: Mapping[str, Histogram]


@dataclass(frozen=True)
class CheckpointReport:
    """A checkpoint that was written.

    Attributes:
        step: Steps made before it.
        kind: `best`, or `step` for a rolling one.
        directory: Where it is.
    """

    step: int
    kind: Literal["best", "step"]
    directory: Path


@dataclass(frozen=True)
class PreparationReport:
    """How far the text has been turned into tokens.

    Attributes:
        done_bytes: Bytes of text read.
        total_bytes: Bytes that will be read, about.
    """

    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Message:
    """Something a person should know.

    Attributes:
        text: One or more sentences.
        level: `info`, or `warning` for what may need action.
    """

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        step: Optimizer steps made.
        train_loss: Training loss, smoothed over about 50 steps; None if no step was made.
        val_loss: Last validation loss; None if there was none.
        best_val_loss: Best validation loss; None if there was none.
        tokens: Tokens consumed, over all sittings of the run.
        seconds: Time, over all sittings of the run.
        tokens_per_second: Speed of the training steps, evaluation and saving left out.
        checkpoint: The best checkpoint, or the last one if none was evaluated.
        stopped: Why the run ended.
        resume_command: How to go on, if it was interrupted.
    """

    step: int
    train_loss: float | None
    val_loss: float | None
    best_val_loss: float | None
    tokens: int
    seconds: float
    tokens_per_second: float
    checkpoint: Path
    stopped: Literal["finished", "time", "early_stopping", "interrupted"]
    resume_command: str | None = None

    def summary(self) -> dict[str, Any]:
        """The fields of the command line's contract, in types of JSON."""
        fields = asdict(self)
        del fields["stopped"], fields["resume_command"]
        return fields | {"checkpoint": str(self.checkpoint)}


def perplexity(loss: float) -> float:
    """Exponential of a loss in nats; infinite where that is beyond a float."""
    return math.exp(loss) if loss < 709 else math.inf
