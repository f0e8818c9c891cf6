"""Without Numba everything works on the reference engine, and the doctor says so."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# A module that is None cannot be imported, and is not found by those who look before they import.
HIDDEN = """
import sys
sys.modules["numba"] = None
from quanta_tissu.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def tissu(tmp_path, monkeypatch):
    """Run `tissu` where Numba is not installed; the result, whatever it is."""
    monkeypatch.chdir(tmp_path)

    def call(*args):
        return subprocess.run([sys.executable, "-c", HIDDEN, *args], capture_output=True, text=True, check=False)

    return call


def test_a_model_is_trained_evaluated_and_generates(tissu, tmp_path):
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question.\n" * 100)
    settings = ["model.n_layers=1", "model.d_model=32", "model.context_length=16", "train.eval_steps=2"]
    settings += ["train.max_steps=2", "tokenizer.kind=character"]
    overrides = [word for setting in settings for word in ("--set", setting)]
    trained = tissu("train", "--preset", "tiny", "--data", "text.txt", "--out", "run", "--json", *overrides)
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["step"] == 2
    evaluated = tissu("evaluate", "run/best", "--data", "text.txt", "--json")
    assert json.loads(evaluated.stdout)["tokens"] > 100, evaluated.stderr
    generated = tissu("generate", "run/best", "--prompt", "To", "--max-new-tokens", "5", "--json")
    assert json.loads(generated.stdout)["completions"], generated.stderr
    talked = subprocess.run(
        [sys.executable, "-c", HIDDEN, "chat", "run/best", "--max-new-tokens", "3"],
        input="To be\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert talked.returncode == 0, talked.stderr


def test_gradients_are_proved(tissu):
    outcome = tissu("gradcheck", "--op", "gelu", "--op", "attention", "--json")
    assert outcome.returncode == 0, outcome.stderr
    assert not any("fast" in check["check"] for check in json.loads(outcome.stdout)["checks"])


def test_the_doctor_and_the_version_say_so(tissu):
    outcome = tissu("doctor", "--json")
    assert outcome.returncode == 0, outcome.stderr
    checks = {check["name"]: check for check in json.loads(outcome.stdout)["checks"]}
    assert checks["Numba"]["status"] == "warning"
    assert "reference engine" in checks["Numba"]["detail"]
    assert checks["Kernel cache"]["detail"].startswith("not needed")
    assert tissu("--version").stdout.strip().endswith("reference engine)")


def test_there_is_nothing_to_compile(tissu):
    outcome = tissu("doctor", "--warm")
    assert outcome.returncode == 1
    assert "no kernels to compile" in outcome.stderr
    assert "pip install numba" in outcome.stderr


@pytest.mark.parametrize("command", ["profile", "train"])
def test_the_fast_engine_is_refused_with_a_remedy(tissu, command):
    outcome = tissu(command, "--preset", "tiny", "--engine", "fast")
    assert outcome.returncode == 2
    assert "the fast engine needs Numba" in outcome.stderr
    assert "pip install numba" in outcome.stderr


def test_a_profile_is_taken_of_the_reference_engine(tissu):
    outcome = tissu("profile", "--preset", "tiny", "--steps", "1", "--json", "--set", "train.batch_size=2")
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["engine"] == "reference"
