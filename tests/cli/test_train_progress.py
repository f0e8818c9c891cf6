from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from quanta_tissu.cli import train_progress
from quanta_tissu.cli.train_progress import TrainProgress, _clock
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.evaluate.floors import Floors
from quanta_tissu.tisslm.train.reports import (
    EvaluationReport,
    Message,
    PreparationReport,
    RunInfo,
    StepReport,
)


def run_info(total=2000, first=0, **train):
    config = Config.model_validate({"train": train})
    return RunInfo(config, Path("runs/x"), first, total, 2, {}, {}, Floors(4.17, 3.35, 2.49))


def step(number=100, seconds=5.0):
    return StepReport(number, 0.5, 8 * number, 2.3456, 2.4567, 1e-3, 0.75, 0.1, 12345.6, seconds)


def shown(terminal, act, width=100):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=width, color_system=None, soft_wrap=True)
    with TrainProgress(console) as progress:
        act(progress)
    return stream.getvalue()


def everything(progress):
    progress.on_prepare(PreparationReport(500_000, 1_000_000))
    progress.on_start(run_info())
    progress.on_evaluate(EvaluationReport(0, 4.2, 100, 4.2, True, 0.1))
    progress.on_step(step())
    progress.on_evaluate(EvaluationReport(100, 4.3, 100, 4.2, False, 0.1))
    progress.on_step(step(101))
    progress.on_message(Message("a [bold] spike", "warning"))


def test_a_terminal_shows_the_numbers_that_matter_and_a_bar():
    text = shown(True, everything)
    for part in [
        "tokenizing",
        "500.0 kB of text",
        "step 101/2,000",
        "loss 2.3456",
        "smoothed 2.4567",
        "lr 1.00e-03",
        "grad 0.75",
        "12,346 tokens/s",
        "elapsed",
        "left",
        "val 4.3000",
        "best 4.2000",
        "warning: a [bold] spike",
    ]:
        assert part in text, part


def test_a_log_has_plain_lines_without_control_characters(monkeypatch):
    monkeypatch.setattr(train_progress, "_LINE_SECONDS", 0.0)
    text = shown(False, everything)
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert lines[0] == "training in runs/x on 2 replicas"
    assert lines[1] == "step      0  validation loss 4.2000  perplexity 66.69  best so far"
    assert lines[3] == "step    100  validation loss 4.3000  perplexity 73.70  best 4.2000"
    assert lines[2].startswith("step 100/2,000  loss 2.3456")
    assert lines[-1] == "warning: a [bold] spike"


def test_a_log_is_not_flooded():
    def act(progress):
        progress.on_start(run_info())
        for number in range(1, 1000):
            progress.on_step(step(number))

    assert len(shown(False, act).splitlines()) == 1


def test_a_validation_shows_in_the_live_display_at_once():
    def act(progress):
        progress.on_start(run_info())
        progress.on_step(step())
        progress.on_evaluate(EvaluationReport(100, 4.3, 100, 4.2, False, 0.1))

    assert "val 4.3000  best 4.2000" in shown(True, act)


def test_the_speed_is_that_of_the_recent_steps_weighed_by_their_time():
    def act(progress):
        progress.on_start(run_info())
        for seconds, speed in ((0.1, 1000.0), (0.3, 2000.0)):
            progress.on_step(dataclasses.replace(step(), step_seconds=seconds, tokens_per_second=speed))

    # 95 tokens in 0.095 s, aged by one step, and 600 tokens in 0.3 s.
    assert "1,759 tokens/s" in shown(True, act)


def test_a_resumed_run_says_where_it_goes_on():
    text = shown(False, lambda progress: progress.on_start(run_info(first=1500)))
    assert text == "training in runs/x on 2 replicas, from step 1,500\n"


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (run_info(None, max_seconds=65), "1:00 left"),
        (run_info(1_000_000, max_seconds=65), "1:00 left"),
        (run_info(160, max_seconds=65), "0:30 left"),
        (run_info(20_100), "2:46:40 left"),
        (run_info(None), None),
    ],
)
def test_time_left(run, expected, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(train_progress, "perf_counter", lambda: now[0])

    def act(progress):
        progress.on_start(run)
        now[0] += 50  # half a second a step
        progress.on_step(step(100, seconds=5.0))

    text = shown(True, act)
    assert expected in text if expected else "left" not in text


def test_floors_of_the_run_are_known_after_its_start():
    progress = TrainProgress(Console(file=io.StringIO()))
    assert progress.floors is None
    progress.on_start(run_info())
    assert progress.floors.bigram == 2.49


def test_clock():
    assert [_clock(s) for s in (0.4, 59.6, 3599, 3600)] == ["0:00", "1:00", "59:59", "1:00:00"]
