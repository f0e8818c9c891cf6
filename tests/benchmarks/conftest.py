"""Benchmarks are programs; their functions are imported from beside each other, as when they run."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch):
    """Import one of them: `benchmark_module("roofline")`."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module
