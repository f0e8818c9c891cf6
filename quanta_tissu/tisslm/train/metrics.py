"""`metrics.jsonl`: one JSON object a line, appended while the run goes on.

{"kind": "train", "step": 10, "loss": 3.1, "ema_loss": 3.3, "perplexity": 22.2, "learning_rate": 1e-4, …}
{"kind": "validation", "step": 250, "val_loss": 2.5, "perplexity": 12.2, "best_val_loss": 2.5, …}
{"kind": "message", "step": 260, "level": "warning", "text": "…"}
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm.train.reports import EvaluationReport, HistogramReport, Message, StepReport, perplexity

METRICS, HISTOGRAMS = "metrics.jsonl", "histograms.jsonl"


class JsonLines:
    """An append-only file of JSON objects that carry their step.

    Args:
        path: The file; None: lines are dropped.
        keep_until: Drop what an earlier sitting wrote after this step (and a last line that was cut short).

    Raises:
        TrainingError: The file cannot be read or written.
    """

    def __init__(self, path: Path | None, keep_until: int) -> None:
        self.path = path
        if path is None:
            return
        try:
            self._truncate(path, keep_until)
        except OSError as error:
            raise self._explained(error) from error

    def append(self, content: dict[str, Any]) -> None:
        """Add a line; numbers that JSON does not know become null."""
        if self.path is None:
            return
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(finite, ensure_ascii=False) + "\n")
        except OSError as error:
            raise self._explained(error) from error

    def _truncate(self, path: Path, keep_until: int) -> None:
        if not path.exists():
            return
        kept = [line for line in path.read_bytes().splitlines(keepends=True) if _step(line) <= keep_until]
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(b"".join(kept))
        temporary.replace(path)

    def _explained(self, error: OSError) -> TrainingError:
        return TrainingError(
            f"cannot write {self.path}: {error.strerror}",
            hint="free some space or choose another --out; the checkpoints that were saved are complete",
        )


class MetricsLog:
    """Writes `metrics.jsonl` and, when there are any, `histograms.jsonl`.

    Args:
        out_dir: Folder of the run; None: write nothing, because another process does.
        interval: Steps between two training lines.
        keep_until: Keep what an earlier sitting wrote up to this step.
    """

    def __init__(self, out_dir: Path | None, interval: int, keep_until: int) -> None:
        self._metrics = JsonLines(None if out_dir is None else out_dir / METRICS, keep_until)
        self._histograms = JsonLines(None if out_dir is None else out_dir / HISTOGRAMS, keep_until)
        self._interval = interval
        self._tokens = self._seconds = 0.0

    def step(self, report: StepReport) -> None:
        """Take a step in; every `interval` steps a line is written, its speed averaged since the last one."""
        self._tokens += report.tokens_per_second * report.step_seconds
        self._seconds += report.step_seconds
        if report.step % self._interval == 0:
            scale = {} if report.loss_scale is None else {"loss_scale": report.loss_scale}
            self._metrics.append(
                {
                    "kind": "train",
                    "step": report.step,
                    "epoch": report.epoch,
                    "tokens": report.tokens,
                    "loss": report.loss,
                    "ema_loss": report.ema_loss,
                    "perplexity": perplexity(report.loss),
                    "learning_rate": report.learning_rate,
                    "gradient_norm": report.gradient_norm,
                    **scale,
                    "tokens_per_second": self._tokens / max(self._seconds, 1e-9),
                    "step_seconds": report.step_seconds,
                    "seconds": report.seconds,
                    "memory_bytes": resident_bytes(),
                }
            )
            self._tokens = self._seconds = 0.0

    def evaluation(self, report: EvaluationReport) -> None:
        """Write a validation."""
        self._metrics.append(
            {
                "kind": "validation",
                "step": report.step,
                "val_loss": report.val_loss,
                "perplexity": report.perplexity,
                "best_val_loss": report.best_val_loss,
                "tokens": report.tokens,
                "seconds": report.seconds,
            }
        )

    def message(self, step: int, message: Message) -> None:
        """Write what a person was told."""
        self._metrics.append({"kind": "message", "step": step, "level": message.level, "text": message.text})

    def histograms(self, report: HistogramReport) -> None:
        """Write distributions, one line per parameter."""
        for name, weights in report.weights.items():
            self._histograms.append(
                {
                    "step": report.step,
                    "parameter": name,
                    "weight": weights.__dict__,
                    "gradient": report.gradients[name].__dict__,
                }
            )


def resident_bytes() -> int | None:
    """Memory that the process holds now (its peak where only that is known; None on Windows)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _step(line: bytes) -> float:
    """Step of a line; infinite for one that is malformed, as a killed process leaves at the end."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
