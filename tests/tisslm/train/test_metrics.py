from __future__ import annotations

import json
import math
import mmap
import sys

import pytest

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm.train.metrics import JsonLines, MetricsLog, resident_bytes
from quanta_tissu.tisslm.train.reports import StepReport, perplexity


def report(step, seconds=0.5, speed=100.0):
    return StepReport(step, 0.1, 8 * step, 2.0, 2.1, 1e-3, 0.7, seconds, speed, 9.0)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_appended(tmp_path):
    path = tmp_path / "metrics.jsonl"
    JsonLines(path, 0).append({"step": 1, "loss": 0.1})
    JsonLines(path, 1).append({"step": 2, "loss": math.inf})
    assert read(path) == [{"step": 1, "loss": 0.1}, {"step": 2, "loss": None}]


def test_resuming_drops_what_came_after_and_a_line_that_was_cut_short(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 2, "lo')
    JsonLines(path, 2)
    assert read(path) == [{"step": 1}, {"step": 2}]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_speed_is_the_average_since_the_last_line(tmp_path):
    log = MetricsLog(tmp_path, 2, 0)
    for step, seconds, speed in [(1, 1.0, 10.0), (2, 3.0, 50.0), (3, 1.0, 7.0), (4, 1.0, 9.0)]:
        log.step(report(step, seconds, speed))
    first, second = read(tmp_path / "metrics.jsonl")
    assert (first["step"], first["tokens_per_second"]) == (2, 40.0)
    assert (second["step"], second["tokens_per_second"]) == (4, 8.0)


def test_a_file_that_cannot_be_written_is_a_training_error(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(TrainingError, match="cannot write"):
        MetricsLog(tmp_path, 1, 0)
    log = JsonLines(tmp_path / "absent" / "metrics.jsonl", 0)
    with pytest.raises(TrainingError, match="cannot write"):
        log.append({"step": 1})


def test_perplexity_of_a_huge_loss_is_infinite():
    assert perplexity(1.0) == pytest.approx(math.e)
    assert perplexity(1e6) == math.inf


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell without further libraries")
def test_memory_grows_with_what_is_held():
    before = resident_bytes()
    with mmap.mmap(-1, 50_000_000) as held:  # asked of the system: an allocator may have some left
        held.write(b"x" * 50_000_000)
        assert resident_bytes() - before > 30_000_000 or not sys.platform.startswith("linux")
