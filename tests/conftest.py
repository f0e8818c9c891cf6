"""Fixtures for all tests, and the rule that what must run in CI fails there instead of skipping."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest

# A shell that starts the tests in the background has them ignore Ctrl-C, which some of them test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Markers of tests that need what a machine may not have or not allow.
_MAY_SKIP = {"gpu", "netns"}

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

# No deadline: how long an example takes depends on what else the machine is doing.
if importlib.util.find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("tissu", deadline=None)
    settings.load_profile("tissu")

# Shapes and element types in the ops' annotations are checked while tests run, and only then.
if importlib.util.find_spec("beartype"):
    from jaxtyping import install_import_hook

    install_import_hook("quanta_tissu.tisslm.ops", "beartype.beartype")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be skipped but what a marker of `_MAY_SKIP` excuses: a skipped test proves nothing."""
    if IN_CI and not hasattr(session.config, "workerinput") and _skipped_in_ci(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the tests that were skipped and must not be."""
    if IN_CI and (skipped := _skipped_in_ci(config)):
        terminalreporter.section("skipped, which fails in CI", red=True)
        for report in skipped:
            terminalreporter.write_line(report.nodeid)


def _skipped_in_ci(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return [report for report in reporter.stats.get("skipped", []) if not _MAY_SKIP & set(report.keywords)]


def _unavailable(reason: str) -> None:
    if IN_CI:
        pytest.fail(f"must run in CI: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def unavailable():
    """Called with the reason where what a test needs is absent: skips it, and fails in CI."""
    return _unavailable


@pytest.fixture(scope="session")
def torch():
    """PyTorch; its tests skip with the reason where it is absent, and fail in CI."""
    if importlib.util.find_spec("torch") is None:
        _unavailable("PyTorch is not installed (pip install torch==2.13.0)")
    import torch

    return torch


@pytest.fixture(scope="session")
def transformers(torch):
    """Transformers on PyTorch; its tests skip with the reason where it is absent, and fail in CI."""
    if importlib.util.find_spec("transformers") is None:
        _unavailable("transformers is not installed (pip install transformers)")
    import transformers

    return transformers


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2; its tests skip where the package is absent, and fail in CI."""
    from quanta_tissu.errors import MissingDependencyError
    from quanta_tissu.tisslm.interop.sentence_transformers import packaged_folder

    try:
        return packaged_folder()
    except MissingDependencyError as error:
        _unavailable(f"{error.message} ({error.hint})")


@pytest.fixture(scope="session")
def sentence_transformers(transformers):
    """The library of sentence encoders; its tests skip with the reason where it is absent, and fail in CI."""
    if importlib.util.find_spec("sentence_transformers") is None:
        _unavailable("sentence-transformers is not installed (pip install sentence-transformers)")
    import sentence_transformers

    return sentence_transformers


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; its tests skip where it is absent, and fail in CI."""
    folder = Path(os.environ.get("TISSU_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        _unavailable(f"no shared data at {folder} (set TISSU_SHARED_DATA)")
    return folder
