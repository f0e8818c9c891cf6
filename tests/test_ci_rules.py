"""In CI a test that is skipped fails the run, with the one exception of tests that need a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = """
import pytest

def test_something():
    assert True

@pytest.mark.{mark}
def test_skipped():
    pytest.skip("not here")
"""


@pytest.fixture
def run_suite(tmp_path):
    """Run a suite of one passing and one skipped test under this project's rules."""

    def run(*options: str, mark: str, ci: str) -> subprocess.CompletedProcess:
        shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    gpu: x\n    slow: x\n")
        (tmp_path / "test_it.py").write_text(_TESTS.format(mark=mark))
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *options],
            cwd=tmp_path, env={**os.environ, "CI": ci}, capture_output=True, text=True,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two processes"])
def test_a_skipped_test_fails_in_ci(run_suite, options):
    outcome = run_suite(*options, mark="slow", ci="true")
    assert outcome.returncode == 1
    assert "skipped, which fails in CI" in outcome.stdout
    assert "test_it.py::test_skipped" in outcome.stdout


def test_a_skipped_test_is_fine_elsewhere(run_suite):
    assert run_suite(mark="slow", ci="").returncode == 0


def test_a_test_that_needs_a_gpu_may_be_skipped_in_ci(run_suite):
    assert run_suite(mark="gpu", ci="true").returncode == 0


@pytest.mark.parametrize(("ci", "word"), [("true", "failed"), ("", "skipped")])
def test_missing_data_fails_in_ci_and_skips_elsewhere(tmp_path, ci, word):
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_it.py").write_text("def test_data(shared_data):\n    assert shared_data\n")
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rsfE"],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "CI": ci, "TISSU_SHARED_DATA": str(tmp_path / "nowhere")},
    )  # fmt: skip
    assert f"1 {word}" in outcome.stdout.replace("1 error", "1 failed")
    assert str(tmp_path / "nowhere") in outcome.stdout
