"""The comparison with PyTorch runs, and compares two trainings that compute the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "train_vs_torch.py"


@pytest.mark.slow
@pytest.mark.torch
def test_both_sides_agree_on_the_losses_and_are_timed(torch):
    command = [sys.executable, str(SCRIPT), "--size", "small", "--rounds", "1", "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    (result,) = report["results"]
    assert result["loss_difference"] < 1e-4
    assert report["environment"]["torch"] == torch.__version__
    for side in ("ours", "pytorch"):
        per_step = result[side]["milliseconds_per_step"]
        assert result[side]["tokens_per_second"] == pytest.approx(
            1000 * 12 * 64 / per_step["median"], abs=1, rel=1e-3
        )
        assert 0 < per_step["best"] <= per_step["median"]
    assert result["ratio"]["median"] == pytest.approx(
        result["pytorch"]["milliseconds_per_step"]["median"] / result["ours"]["milliseconds_per_step"]["median"],
        rel=1e-2,
    )
