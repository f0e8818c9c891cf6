"""The comparison with transformers runs, on models that give the same tokens."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest


@pytest.mark.slow
@pytest.mark.torch
def test_both_sides_give_the_same_tokens_and_are_timed(benchmark_module, transformers):
    script = benchmark_module("generate_vs_torch").__file__
    command = [sys.executable, script, "--size", "tiny", "--rounds", "1", "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert report["environment"]["transformers"] == transformers.__version__
    (result,) = report["results"]
    assert result["weights_bytes"] == 4 * (300 * 64 + 2 * (64 * 128 + 64 * 64 + 3 * 64 * 96 + 2 * 64) + 64)
    for key, sides in result["tokens_per_second"].items():
        ours, theirs = sides["ours"]["median"], sides["transformers"]["median"]
        assert result["ratio"][key]["median"] == pytest.approx(ours / theirs, rel=1e-2)
    found, rate = result["bandwidth"], result["tokens_per_second"]["decode 1"]["ours"]["median"]
    assert found["decode_gb_per_second"]["median"] == pytest.approx(rate * result["weights_bytes"] / 1e9, abs=1e-3)


def test_sides_that_give_different_tokens_are_not_timed(benchmark_module, monkeypatch):
    module = benchmark_module("generate_vs_torch")

    class Side:
        def __init__(self, *arguments):
            self.name = arguments[2]

        def ask(self, question):
            return {"tokens": [[1, 2]] if self.name == "ours" else [[1, 3]]}

    monkeypatch.setattr(module, "Side", Side)
    with pytest.raises(SystemExit, match="different tokens"):
        module.compare("tiny", 1)


def test_rates_count_the_first_token_as_reading_and_the_others_as_decoding(benchmark_module):
    rates = benchmark_module("generate_vs_torch").rates
    assert rates(10.0, [12.0, 12.5, 13.0], rows=4, prompt=100) == {"prefill": 200.0, "decode": 8.0}
    assert rates(10.0, [12.0], rows=1, prompt=100) == {"prefill": 50.0, "decode": None}


def test_the_bandwidth_is_that_of_reading_every_byte_once(benchmark_module):
    rate = benchmark_module("generate_vs_torch").bandwidth(np.ones(1 << 20, np.float32))()
    assert 1e8 < rate < 1e12
