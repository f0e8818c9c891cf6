"""The comparison of memory runs, and shows what it is about: less than PyTorch takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
