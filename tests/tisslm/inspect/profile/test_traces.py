"""What Python's own profilers say about a run."""

from __future__ import annotations

import pstats

import numpy as np

from quanta_tissu.tisslm import engine, ops
from quanta_tissu.tisslm.inspect.profile.traces import allocations, write_cprofile
from quanta_tissu.tisslm.inspect.profile.watching import WatchingEngine


def work():
    kept = [ops.gelu(np.ones(250_000)) for _ in range(3)]  # 2 MB each
    return ops.relu(kept[0][:10])


def test_cprofile_writes_its_statistics_and_a_text(tmp_path):
    binary, text = tmp_path / "run.pstats", tmp_path / "run.txt"
    write_cprofile(work, binary, text)
    functions = {name for _, _, name in pstats.Stats(str(binary)).stats}
    assert "work" in functions
    assert "cumulative" in text.read_text()
    assert "work" in text.read_text()


def test_the_largest_allocations_at_the_fullest_moment():
    report = allocations(work, engine.get("reference"))
    held = float(report.split(" MB are held")[0])
    assert 6 <= held < 12
    assert "gelu.py" in report


def test_a_run_without_operations():
    assert "No operation" in allocations(lambda: None, engine.get("reference"))


def test_every_operation_is_watched_and_runs_as_before():
    heard = []
    with engine.use(WatchingEngine.around(engine.get("reference"), heard.append)):
        y = ops.relu(np.array([-1.0, 2.0]))
        tape = engine.Tape()
        x = tape.variable(np.ones(3))
        tape.backward(ops.gelu(x), np.ones(3))
    assert y.tolist() == [0, 2]
    assert heard == [0, 1, 2]
    assert x.grad is not None
