"""Callbacks: observers of a run. They are told everything and can change nothing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from quanta_tissu.tisslm.train.reports import (
    CheckpointReport,
    EvaluationReport,
    HistogramReport,
    Message,
    PreparationReport,
    RunInfo,
    StepReport,
    TrainResult,
)


class Callback:
    """Base of observers: override what you want to hear.

    Hooks run in the training thread, so they should be quick. One that raises is reported and not called again;
    the run goes on.
    """

    def on_prepare(self, report: PreparationReport) -> None:
        """Text is being turned into tokens."""

    def on_start(self, run: RunInfo) -> None:
        """The loop begins."""

    def on_step(self, report: StepReport) -> None:
        """An optimizer step was made, or skipped."""

    def on_evaluate(self, report: EvaluationReport) -> None:
        """The model was validated."""

    def on_histograms(self, report: HistogramReport) -> None:
        """Distributions were taken (`train.histogram_interval`)."""

    def on_checkpoint(self, report: CheckpointReport) -> None:
        """A checkpoint is complete on disk."""

    def on_message(self, message: Message) -> None:
        """There is something a person should know."""

    def on_end(self, result: TrainResult) -> None:
        """The loop ended without an error."""


class Callbacks(Callback):
    """Several callbacks as one; what fails among them is told to the others and left out from then on."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._active = list(callbacks)

    def on_prepare(self, report: PreparationReport) -> None:  # noqa: D102 (as in the base)
        self._tell("on_prepare", report)

    def on_start(self, run: RunInfo) -> None:  # noqa: D102
        self._tell("on_start", run)

    def on_step(self, report: StepReport) -> None:  # noqa: D102
        self._tell("on_step", report)

    def on_evaluate(self, report: EvaluationReport) -> None:  # noqa: D102
        self._tell("on_evaluate", report)

    def on_histograms(self, report: HistogramReport) -> None:  # noqa: D102
        self._tell("on_histograms", report)

    def on_checkpoint(self, report: CheckpointReport) -> None:  # noqa: D102
        self._tell("on_checkpoint", report)

    def on_message(self, message: Message) -> None:  # noqa: D102
        self._tell("on_message", message)

    def on_end(self, result: TrainResult) -> None:  # noqa: D102
        self._tell("on_end", result)

    def _tell(self, hook: str, what: object) -> None:
        for callback in list(self._active):
            if callback not in self._active:
                continue  # it failed at the message about another failure
            try:
                getattr(callback, hook)(what)
            except Exception as error:
                self._active.remove(callback)
                text = (
                    f"the callback {type(callback).__name__} failed in {hook} and is not called again: "
                    f"{type(error).__name__}: {error}"
                )
                # Both ways: the other callbacks may not show messages, and warnings carry the place.
                warnings.warn(text, RuntimeWarning, stacklevel=2)
                self.on_message(Message(text, "warning"))
