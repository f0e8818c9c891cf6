from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quanta_tissu.tisslm.config.load import load_config

TIMEOUT = 120  # seconds; what torchrun starts must have ended by then, whatever goes wrong
TEXT = "".join(f"{i} times {j} is {i * j}, and {i} plus {j} is {i + j}.\n" for i in range(20) for j in range(20))
SETTINGS = {
    "model.context_length": 16,
    "model.n_layers": 2,
    "model.d_model": 32,
    "model.n_heads": 4,
    "model.n_kv_heads": 2,
    "model.bias": "true",
    "model.d_ff": 48,
    "tokenizer.kind": "character",
    "optimizer.learning_rate": 0.01,
    "train.engine": "torch",
    "train.batch_size": 5,  # an odd number: processes take different shares
    "train.gradient_accumulation": 2,
    "train.max_steps": 6,
    "train.eval_interval": 3,
    "train.eval_steps": 3,
    "train.log_interval": 1,
    "train.checkpoint_interval": 3,
    "train.keep_checkpoints": 9,
}


@pytest.fixture(scope="session", autouse=True)
def _needs_torch(torch):
    """Everything here trains on PyTorch."""


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("text") / "tables.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="session")
def overrides(source):
    """`overrides(**{"torch.parallel": "ddp"})`: the settings of a tiny run as --set takes them."""

    def make(changes=None) -> list[str]:
        settings = SETTINGS | {"data.source": str(source)} | (changes or {})
        return [f"{name}={value}" for name, value in settings.items()]

    return make


@pytest.fixture(scope="session")
def configured(overrides):
    """The same as a configuration."""

    def make(changes=None):
        return load_config(overrides=overrides(changes), environ={})

    return make


@pytest.fixture
def torchrun():
    """Start `tissu train` in several processes; what still runs after the test is ended."""
    started = []

    def start(*arguments, processes=2, launch=(), prefix=(), environment=None):
        command = [*prefix, sys.executable, "-m", "torch.distributed.run"]
        command += ["--nproc-per-node", str(processes), *(launch or ["--standalone"])]
        command += ["-m", "quanta_tissu", "train", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"} | (environment or {}),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def finish():
    """Wait for processes that must succeed; their output."""

    def wait(process) -> str:
        output, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, output
        return output

    return wait
