"""`tissu doctor --warm` compiles everything that real use needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from quanta_tissu.cli.compiling import TITLE
from quanta_tissu.cli.warm import tasks
from quanta_tissu.tisslm.ops import REGISTRY


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `tissu` in a process of its own, with a cache of its own."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def start(*args):
        return subprocess.run(
            [sys.executable, "-m", "quanta_tissu", *args], capture_output=True, text=True, check=True
        )

    return start


def test_tasks_cover_operations_optimizers_and_presets():
    names = [name for name, _ in tasks()]
    assert set(REGISTRY) <= set(names)
    assert {"optimizer adamw", "optimizer muon", "preset baby-gpt", "architecture 8"} <= set(names)


@pytest.mark.slow
def test_after_it_nothing_is_compiled_any_more(run, tmp_path):
    cold = json.loads(run("doctor", "--warm", "--json").stdout)
    assert cold["compiled"] == cold["kernels"] > 20
    assert cold["bytes"] > 100_000
    assert cold["compile_seconds"] < cold["seconds"]

    warm = run("doctor", "--warm", "--json")
    assert TITLE not in warm.stderr
    assert json.loads(warm.stdout)["compiled"] == 0
    assert json.loads(warm.stdout)["kernels"] == cold["kernels"]

    text = tmp_path / "text.txt"
    text.write_text("To be, or not to be, that is the question.\n" * 200)
    for preset in ("baby-gpt", "demo"):
        settings = ["train.max_steps=2", "train.eval_steps=2", "tokenizer.vocab_size=300"]
        overrides = [word for setting in settings for word in ("--set", setting)]
        trained = run("train", "--preset", preset, "--data", str(text), "--out", preset, *overrides)
        evaluated = run("evaluate", f"{preset}/best", "--data", str(text))
        generated = run("generate", f"{preset}/best", "--prompt", "To be", "--max-new-tokens", "5")
        for result in (trained, evaluated, generated):
            assert TITLE not in result.stderr

    report = json.loads(run("doctor", "--json").stdout)
    (cache,) = [check for check in report["checks"] if check["name"] == "Kernel cache"]
    assert cache["values"]["kernels"] >= cold["kernels"]
    assert str(tmp_path / "cache") in cache["detail"]


def test_a_table_says_what_was_done(tissu, monkeypatch):
    monkeypatch.setattr("quanta_tissu.cli.warm.tasks", lambda: [("nothing", lambda: None)])
    outcome = tissu("doctor", "--warm")
    assert "all kernels were compiled before" in outcome.out
    assert "ready" in outcome.out
