"""The time to nanoGPT's loss is measured over whole runs, and PyTorch's side follows nanoGPT's recipe."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from quanta_tissu.tisslm.config.load import load_config
from quanta_tissu.tisslm.train.schedules import learning_rate_factor

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import time_to_loss

    return time_to_loss


def test_pytorchs_side_has_the_learning_rates_of_the_preset_with_nanogpts_recipe(benchmark):
    config = load_config(preset="baby-gpt", environ={})
    for step in (0, 50, 99, 100, 101, 1000, 1999):
        ours = config.optimizer.learning_rate * learning_rate_factor(config.schedule, step, 2000)
        assert benchmark.nanogpt_learning_rate(step, 2000) == pytest.approx(ours, rel=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("length", [2, 64, 65, 66, 64 * 65 + 1, 64 * 70 + 13])
def test_every_token_but_the_first_is_predicted_once_in_the_whole_split(torch, benchmark, length):
    tokens, seen = torch.arange(length), []

    def model(inputs, targets):
        assert torch.equal(inputs + 1, targets)
        seen.append(targets.flatten())
        return targets.double().mean()

    loss = benchmark.whole_split(model, tokens, 64)
    assert torch.equal(torch.cat(seen).sort().values, tokens[1:])
    assert loss == pytest.approx(tokens[1:].double().mean().item(), rel=1e-12)


@pytest.mark.slow
@pytest.mark.torch
def test_both_sides_train_and_are_timed(torch, shared_data):
    command = [sys.executable, str(BENCHMARKS / "time_to_loss.py"), str(shared_data / "tinyshakespeare.txt")]
    command += ["--seeds", "1", "--json", "--torch-steps", "2", "--set", "train.max_steps=2"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    (run,) = report["runs"]
    for side in ("ours", "pytorch"):
        assert run[side]["loss"] == pytest.approx(math.log(65), abs=0.3)  # two steps teach next to nothing
        assert report[side]["mean_loss"] == run[side]["loss"]
        assert report[side]["reached"] == 0
    assert run["ours"]["steps"] == 2
    assert run["ours"]["seconds"] > run["ours"]["training_seconds"] > 0
    assert run["ratio"] == pytest.approx(run["ours"]["seconds"] / run["pytorch"]["seconds"], rel=1e-9)
    assert report["environment"]["torch"] == torch.__version__
