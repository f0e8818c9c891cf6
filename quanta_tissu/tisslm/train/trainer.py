"""The training loop: step, validate, save; stop and go on exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.data.batches import Batch, Batches
from quanta_tissu.tisslm.data.prefetch import Prefetcher
from quanta_tissu.tisslm.engine.engines import require_torch
from quanta_tissu.tisslm.engine.threads import replica_count
from quanta_tissu.tisslm.evaluate.floors import Floors
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import Tokenizer
from quanta_tissu.tisslm.train.callbacks import Callback, Callbacks
from quanta_tissu.tisslm.train.checkpoint import (
    Checkpoints,
    Resumed,
    TrainerState,
    abandon_later,
    resume_command,
)
from quanta_tissu.tisslm.train.differentiator import Differentiator
from quanta_tissu.tisslm.train.guard import require_finite
from quanta_tissu.tisslm.train.histograms import histograms
from quanta_tissu.tisslm.train.interrupts import Interrupts
from quanta_tissu.tisslm.train.metrics import MetricsLog
from quanta_tissu.tisslm.train.plan import BatchPlan
from quanta_tissu.tisslm.train.replicas import Replicas
from quanta_tissu.tisslm.train.reports import (
    CheckpointReport,
    EvaluationReport,
    HistogramReport,
    Message,
    RunInfo,
    StepReport,
    TrainResult,
)
from quanta_tissu.tisslm.train.step import TrainStep
from quanta_tissu.tisslm.train.world import World

Stop = Literal["finished", "time", "early_stopping", "interrupted"]

_NOTHING_LEFT: dict[Stop, str] = {
    "finished": "all steps of the run were made before; raise train.max_steps (or train.max_epochs) to go on",
    "time": "the time of the run was used up before; raise train.max_seconds to go on",
    "early_stopping": "validation had stopped improving before; raise train.early_stopping_patience to go on",
}
"""Why a resumed run may end at once."""

_SMOOTHING = 0.98
"""Share that the smoothed training loss keeps at every step."""


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from.

    Attributes:
        batches: The endless stream of training sequences.
        validation: Called for every validation; gives the same batches each time.
        cut_epochs: Whether every sequence comes once an epoch, so that steps must not cross its end.
        manifest: How the data describes itself, for checkpoints.
        fingerprint: Distinguishes it from other data; a resumed run must find it again.
        floors: Validation losses that counting reaches.
    """

    batches: Batches
    validation: Callable[[], Iterable[Batch]]
    cut_epochs: bool = False
    manifest: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    floors: Floors | None = None


class Trainer:
    """One run, fresh or resumed.

    Everything that a step depends on is a function of the configuration, the weights and `TrainerState`, so a
    resumed run repeats the uninterrupted one bit for bit.

    Args:
        config: The whole configuration.
        decoder: The model to train; its parameters change.
        tokenizer: Saved in the checkpoints.
        data: What to learn from.
        out_dir: Folder of the run.
        callbacks: Observers.
        resumed: The checkpoint to go on from.
        world: The processes that train together.

    Raises:
        CheckpointError: The checkpoint does not fit the model, the optimizer or the data.
        ConfigError: A setting contradicts the model.
    """

    def __init__(
        self,
        config: Config,
        decoder: Decoder,
        tokenizer: Tokenizer,
        data: TrainingData,
        out_dir: Path,
        *,
        callbacks: Sequence[Callback] = (),
        resumed: Resumed | None = None,
        world: World | None = None,
    ) -> None:
        self.config = config
        self.world = World() if world is None else world
        self.data = data
        self.out_dir = out_dir
        self.state = TrainerState(dataset=data.fingerprint) if resumed is None else resumed.state
        self.replicas = _replicas(config, decoder, self.state, self.world)
        try:
            self.step = TrainStep(config, self.replicas)
            if resumed is not None:
                resumed.restore(self.step)
        except BaseException:
            self.replicas.close()
            raise
        self.plan = BatchPlan(
            config.train,
            data.batches.per_epoch,
            cut_epochs=data.cut_epochs,
            first_step=self.state.step,
            first_position=self.state.position,
        )
        self.callbacks = Callbacks(callbacks if self.world.main else ())
        self._checkpoints = Checkpoints(
            out_dir,
            config.train.keep_checkpoints,
            tokenizer,
            config,
            data.manifest,
            resuming=resumed is not None,
            writing=self.world.main,
        )
        self._saved_step = None if resumed is None else self.state.step
        self._interrupts = Interrupts()
        self._earlier_seconds = self.state.seconds
        self._began = perf_counter()

    def run(self) -> TrainResult:
        """Train until the run is over, has been stopped, or cannot go on.

        Ctrl-C (or SIGTERM) ends the step, saves, and returns a result that says how to go on.

        Raises:
            TrainingError: A loss is not finite, a checkpoint cannot be written, or another process was lost. What
                was saved is still there.
        """
        try:
            return self._run()
        except RuntimeError as error:
            if (told := self.world.explain(error)) is not None:
                raise told from error
            raise

    def _run(self) -> TrainResult:
        self._began = perf_counter()
        first = self.state.step
        try:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            abandoned = abandon_later(self.out_dir, first) if self.world.main else []
        except OSError as error:
            raise TrainingError(
                f"cannot write to {self.out_dir}: {error.strerror}", hint="choose another folder with --out"
            ) from error
        keep_until = -1 if self._saved_step is None else first
        self._metrics = MetricsLog(
            self.out_dir if self.world.main else None, self.config.train.log_interval, keep_until
        )
        if self.config.train.replicas not in (None, self.replicas.count):
            self._say(
                f"train.replicas stays {self.replicas.count}, as the run was started: another number would round "
                "differently",
                "warning",
            )
        if (description := self.replicas.description) is not None:
            self._say(description)
        for path in abandoned:
            self._say(f"a checkpoint that this run had written later was set aside: {path}")
        with (
            engine.use(self.config.train.engine),
            closing(self.replicas),
            self._interrupts,
            Prefetcher(self._fetch, first, stop=self.plan.total_steps) as upcoming,
        ):
            self.callbacks.on_start(self._info())
            stopped = self._loop(upcoming)
        result = self._result(stopped)
        if result.step == first and stopped in _NOTHING_LEFT:
            self._say(f"no step was made: {_NOTHING_LEFT[stopped]}", "warning")
        if result.resume_command:
            self._say(f"stopped after step {result.step}; go on with: {result.resume_command}")
        self.callbacks.on_end(result)
        return result

    def _loop(self, upcoming: Prefetcher[list[Batch]]) -> Stop:
        train, state = self.config.train, self.state
        while True:
            stop = self._stop()
            due = state.step % train.eval_interval == 0 and (state.step > 0 or train.eval_first)
            due = due or stop is not None
            if due and stop != "interrupted" and state.evaluated_step != state.step:
                self._evaluate()
                stop = self._stop()
            due = state.step > 0 and state.step % train.checkpoint_interval == 0
            if (due or stop is not None) and self._saved_step != state.step:
                self._save()
            if stop is not None:
                return stop
            self._train(upcoming)

    def _stop(self) -> Stop | None:
        """Why the run is over, if it is; all processes come to the same answer."""
        train, total = self.config.train, self.plan.total_steps
        interrupted, elapsed = self.world.largest([float(self._interrupts.requested), self._elapsed()])
        if interrupted:
            return "interrupted"
        if total is not None and self.state.step >= total:
            return "finished"
        if train.max_seconds is not None and elapsed >= train.max_seconds:
            return "time"
        patience = train.early_stopping_patience
        if patience is not None and self.state.without_improvement >= patience:
            return "early_stopping"
        return None

    def _train(self, upcoming: Prefetcher[list[Batch]]) -> None:
        """Make one step."""
        state, began = self.state, perf_counter()
        batches = next(upcoming)
        with np.errstate(all="ignore"):  # `require_finite` tells of a divergence, in better words
            outcome = self.step(batches, state.step, self._horizon())
        seconds = perf_counter() - began
        tokens = sum(batch.inputs.size for batch in batches)
        state.step += 1
        state.position += sum(len(batch.inputs) for batch in batches)
        state.tokens += tokens
        state.step_seconds += seconds
        state.loss_sum = _SMOOTHING * state.loss_sum + (1 - _SMOOTHING) * outcome.loss
        state.loss_weight = _SMOOTHING * state.loss_weight + (1 - _SMOOTHING)
        report = StepReport(
            step=state.step,
            epoch=state.position / self.data.batches.per_epoch,
            tokens=state.tokens,
            loss=outcome.loss,
            ema_loss=state.loss_sum / state.loss_weight,
            learning_rate=outcome.learning_rate,
            gradient_norm=outcome.gradient_norm,
            step_seconds=seconds,
            tokens_per_second=tokens / seconds,
            seconds=self._elapsed(),
            skipped=outcome.skipped,
            loss_scale=outcome.loss_scale,
        )
        if outcome.skipped is not None:
            self._say(f"step {state.step}: {outcome.skipped}; the update was skipped", "warning")
        self._metrics.step(report)
        self.callbacks.on_step(report)
        interval = self.config.train.histogram_interval
        finite = math.isfinite(outcome.gradient_norm)  # what overflowed float16 has no distribution
        if interval is not None and state.step % interval == 0 and finite:
            distributions = HistogramReport(
                state.step,
                histograms(self.replicas.to_host()),
                histograms(self.replicas.host_gradients(outcome.gradients)),
            )
            self._metrics.histograms(distributions)
            self.callbacks.on_histograms(distributions)

    def _evaluate(self) -> None:
        """Validate, and save the weights if they are the best so far; a stop request cancels it."""
        state, began = self.state, perf_counter()
        with np.errstate(all="ignore"):
            found = self.step.validate(self.data.validation(), lambda: self._interrupts.requested)
        if found is None:
            return
        if not math.isfinite(found.loss):
            require_finite(state.step, found.loss, 0.0)
        improved = state.best_val_loss is None or found.loss < state.best_val_loss
        state.evaluated_step, state.val_loss = state.step, found.loss
        state.without_improvement = 0 if improved else state.without_improvement + 1
        if improved:
            state.best_val_loss = found.loss
        report = EvaluationReport(
            state.step,
            found.loss,
            found.tokens,
            found.loss if state.best_val_loss is None else state.best_val_loss,
            improved,
            perf_counter() - began,
        )
        self._metrics.evaluation(report)
        self.callbacks.on_evaluate(report)
        if improved:
            state.seconds = self._elapsed()
            directory = self._checkpoints.save_best(self.step, state)
            self.callbacks.on_checkpoint(CheckpointReport(state.step, "best", directory))

    def _save(self) -> None:
        self.state.seconds = self._elapsed()
        directory = self._checkpoints.save_step(self.step, self.state)
        self._saved_step = self.state.step
        self.callbacks.on_checkpoint(CheckpointReport(self.state.step, "step", directory))

    def _fetch(self, step: int) -> list[Batch]:
        """The micro-batches of a step."""
        plan = self.plan.step(step)
        batch = self.data.batches.sequences(plan.start, plan.count)
        parts, start = [], 0
        for size in plan.micro_batches:
            span = slice(start, start + size)
            parts.append(Batch(batch.inputs[span], batch.targets[span]))
            start += size
        return parts

    def _horizon(self) -> int:
        """Length of the run in steps, for the schedule.

        A run that only time limits follows the clock: its length is what the speed so far lets expect.
        """
        train = self.config.train
        if (total := self.plan.total_steps) is not None:
            return total
        elapsed = self.world.largest([self._elapsed()])[0]
        remaining = (train.max_seconds or 0.0) / max(elapsed, 1e-3)
        return max(self.state.step + 1, round((self.state.step + 1) * remaining))

    def _elapsed(self) -> float:
        return self._earlier_seconds + perf_counter() - self._began

    def _say(self, text: str, level: Literal["info", "warning"] = "info") -> None:
        message = Message(text, level)
        self._metrics.message(self.state.step, message)
        self.callbacks.on_message(message)

    def _info(self) -> RunInfo:
        return RunInfo(
            self.config,
            self.out_dir,
            self.state.step,
            self.plan.total_steps,
            self.replicas.count,
            _read_only(self.replicas.parameters),
            self.replicas.gradients,
            self.data.floors,
        )

    def _result(self, stopped: Stop) -> TrainResult:
        state = self.state
        best = self._checkpoints.best
        return TrainResult(
            step=state.step,
            train_loss=state.ema_loss,
            val_loss=state.val_loss,
            best_val_loss=state.best_val_loss,
            tokens=state.tokens,
            seconds=self._elapsed(),
            tokens_per_second=state.tokens / state.step_seconds if state.step_seconds else 0.0,
            checkpoint=best if best.is_dir() else self.out_dir / f"step-{state.step}",
            stopped=stopped,
            resume_command=resume_command(self.out_dir) if stopped == "interrupted" else None,
        )


def _replicas(config: Config, decoder: Decoder, state: TrainerState, world: World) -> Differentiator:
    """Who holds the weights and differentiates the loss, as the engine wants it."""
    train = config.train
    if train.engine == "torch":
        require_torch()
        from quanta_tissu.tisslm.train.pytorch.replica import TorchReplica

        return TorchReplica(config, decoder, world)
    # A run that was started on the torch engine has no number yet.
    state.replicas = state.replicas or replica_count(train.replicas)
    return Replicas.configured(train, decoder, state.replicas)


def _read_only(parameters: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    views = {}
    for name, array in parameters.items():
        views[name] = array.view()
        views[name].flags.writeable = False
    return views
