"""The comparison of memory runs, and shows what it is about: less than PyTorch takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quanta_tissu.tisslm.engine.threads import replica_count
from quanta_tissu.tisslm.train.memory import estimate_memory

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory.py"


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_all_rows_are_measured_and_recomputation_saves_memory(torch):
    subprocess.run([sys.executable, str(SCRIPT), "--row", "ours", "--size", "small", "--steps", "1"], check=True)
    command = [sys.executable, str(SCRIPT), "--size", "small", "--steps", "2", "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    (result,) = report["results"]
    assert result["least"] == 16 * 804_096
    for name in ("pytorch", "ours", "recomputed"):
        row = result[name]
        assert result["least"] < row["above"] < row["peak"]
        assert row["of_pytorch"]["peak"] == pytest.approx(row["peak"] / result["pytorch"]["peak"], abs=1e-3)
    assert result["ours"]["of_pytorch"]["peak"] < 0.8
    assert result["recomputed"]["peak"] < result["ours"]["peak"]
    assert result["recomputed"]["losses"] == result["ours"]["losses"]
    assert result["pytorch"]["losses"] == pytest.approx(result["ours"]["losses"], abs=1e-4)  # the same weights


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ["small", "large"])
def test_what_is_estimated_before_a_run_is_what_the_process_takes(name, monkeypatch):
    """Within a tenth, above what is there after the imports; so is GPT-2 124M (docs/experiments.md)."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    from memory import run
    from train_vs_torch import SIZES, configuration

    settings = configuration(SIZES[name])
    estimated = estimate_memory(settings, settings.model, replica_count(None)).total
    run("ours", name, 1)  # compiles
    assert run("ours", name, 3)["above"] == pytest.approx(estimated, rel=0.1)
