"""Live progress of a training run on standard error: a bar with the numbers that matter, or lines in a log."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

from quanta_tissu.tisslm.train.callbacks import Callback
from quanta_tissu.tisslm.train.reports import (
    EvaluationReport,
    Message,
    PreparationReport,
    RunInfo,
    StepReport,
)
from quanta_tissu.tisslm.wording import counted, in_bytes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import Progress, TaskID

    from quanta_tissu.tisslm.evaluate.floors import Floors

_LINE_SECONDS = 10.0
"""Between two lines of a log; on a terminal everything moves."""
_SMOOTHING = 0.95
"""Share that earlier steps keep in the speed shown, which otherwise jumps about."""


class TrainProgress(Callback):
    """Shows a run; use it as a context manager, so that the terminal is left in order whatever happens.

    Args:
        console: Where to; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        from quanta_tissu.cli.console import error_console

        self._console = console or error_console()
        self._live: Live | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._run: RunInfo | None = None
        self._step: StepReport | None = None
        self._evaluation: EvaluationReport | None = None
        self._tokens = self._step_seconds = 0.0
        self._began = self._last_line = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def floors(self) -> Floors | None:
        """The losses that the run had to beat."""
        return self._run.floors if self._run else None

    def on_prepare(self, report: PreparationReport) -> None:
        """Move the bar of the preparation."""
        self._show("tokenizing", report.done_bytes, report.total_bytes, f"{in_bytes(report.done_bytes)} of text")

    def on_start(self, run: RunInfo) -> None:
        """Begin with a fresh bar."""
        self._stop()
        self._run = run
        self._began = self._last_line = perf_counter()
        start = f", from step {run.first_step:,}" if run.first_step else ""
        self._print(f"training in {run.out_dir} on {counted(run.replicas, 'replica')}{start}")

    def on_step(self, report: StepReport) -> None:
        """Show the step; in a log a line every ten seconds."""
        self._step = report
        self._tokens = _SMOOTHING * self._tokens + report.tokens_per_second * report.step_seconds
        self._step_seconds = _SMOOTHING * self._step_seconds + report.step_seconds
        if self._console.is_terminal:
            self._show_step(report)
        elif perf_counter() - self._last_line >= _LINE_SECONDS:
            self._last_line = perf_counter()
            self._print("  ".join(self._lines(report)))

    def on_evaluate(self, report: EvaluationReport) -> None:
        """A line for each validation, which stays on the screen; the live display follows at once."""
        self._evaluation = report
        if self._step is not None:
            self._show_step(self._step)
        best = "  best so far" if report.improved else f"  best {report.best_val_loss:.4f}"
        self._print(
            f"step {report.step:>6,}  validation loss {report.val_loss:.4f}  "
            f"perplexity {report.perplexity:.2f}{best}"
        )

    def on_message(self, message: Message) -> None:
        """Messages stay on the screen."""
        self._print(("warning: " if message.level == "warning" else "") + message.text)

    def _show_step(self, report: StepReport) -> None:
        done, total = self._progress(report)
        self._show("training", done, total, "\n".join(self._lines(report)))

    def _lines(self, report: StepReport) -> list[str]:
        """What the step did, and how the run stands."""
        total = f"/{self._run.total_steps:,}" if self._run and self._run.total_steps else ""
        step = [
            f"step {report.step:,}{total}",
            f"loss {report.loss:.4f}",
            f"smoothed {report.ema_loss:.4f}",
            f"lr {report.learning_rate:.2e}",
            f"grad {report.gradient_norm:.2f}",
        ]
        run = [f"{self._tokens / max(self._step_seconds, 1e-9):,.0f} tokens/s"]
        if (left := self._seconds_left(report)) is not None:
            run.append(f"{_clock(left)} left")
        if self._evaluation is not None:
            run.append(f"val {self._evaluation.val_loss:.4f}")
            run.append(f"best {self._evaluation.best_val_loss:.4f}")
        return ["  ".join(step), "  ".join(run)]

    def _progress(self, report: StepReport) -> tuple[float, float]:
        """Done and total, in steps or, if only time limits the run, in seconds."""
        run = self._run
        if run is None or run.total_steps is not None:
            return report.step, (run and run.total_steps) or report.step
        return report.seconds, run.config.train.max_seconds or report.seconds

    def _seconds_left(self, report: StepReport) -> float | None:
        """From the speed of this sitting, validations included; a time limit may come first."""
        run = self._run
        if run is None:
            return None
        limit = run.config.train.max_seconds
        times = [] if limit is None else [max(0.0, limit - report.seconds)]
        made = report.step - run.first_step
        if run.total_steps is not None and made > 0:
            times.append((perf_counter() - self._began) / made * (run.total_steps - report.step))
        return min(times, default=None)

    def _show(self, title: str, done: float, total: float, text: str) -> None:
        """Move the live display, which only terminals have."""
        if not self._console.is_terminal:
            return
        from rich.console import Group
        from rich.text import Text

        if self._live is None or self._bar is None or self._task is None:
            from rich.live import Live
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("elapsed"),
            )
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task(title, total=total)
            self._live = Live(console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        self._bar.update(self._task, completed=done, total=total)
        self._live.update(Group(Text(text, no_wrap=True, overflow="ellipsis"), self._bar))

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._live = self._bar = self._task = None


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
