"""The comparison of databases runs on what is installed, and names what is not."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys

import numpy as np
import pytest


@pytest.mark.slow
def test_stores_take_turns_and_are_compared(benchmark_module):
    script = benchmark_module("db_vs_others").__file__
    command = [
        sys.executable,
        script,
        "--only",
        "tissdb",
        "apsw",
        "--documents",
        "1000",
        "--rounds",
        "1",
        "--json",
    ]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    result = report["results"]
    figures = result["figures"]
    assert set(figures) == {"tissdb", "apsw"}
    assert figures["tissdb"]["recall"]["median"] == figures["apsw"]["recall"]["median"] == 1
    ours, theirs = figures["tissdb"]["get µs"]["median"], figures["apsw"]["get µs"]["median"]
    assert result["ratio"]["apsw"]["get µs"] == pytest.approx(theirs / ours, abs=0.01)
    assert result["vectors"] == "seeded"


def test_a_store_that_is_not_installed_is_named(benchmark_module, monkeypatch, capsys):
    module = benchmark_module("db_vs_others")

    def version(package):
        if package == "chromadb":
            raise importlib.metadata.PackageNotFoundError
        return "1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert module.installed(["tissdb", "chroma"]) == ["tissdb"]
    assert "chroma is left out: pip install chromadb" in capsys.readouterr().err


def test_documents_are_always_the_same_and_about_500_bytes(benchmark_module):
    module = benchmark_module("db_vs_others")
    records = module.records(1200)
    assert records == module.records(1200)
    assert len({one["id"] for one in records}) == 1200
    sizes = [len(json.dumps(one)) for one in records]
    assert 400 < np.mean(sizes) < 600
    assert sum(one["category"] == "c7" for one in records) == 12


def test_ratios_above_one_say_that_tissdb_is_better(benchmark_module):
    module = benchmark_module("db_vs_others")
    figures = {
        "tissdb": {"get µs": {"median": 10.0}, "load docs/s": {"median": 300.0}},
        "other": {"get µs": {"median": 40.0}, "load docs/s": {"median": 100.0}, "words ms": {"median": 1.0}},
    }
    assert module._ratios(figures) == {"other": {"get µs": 4.0, "load docs/s": 3.0}}


def test_reciprocal_ranks_join_lists(benchmark_module):
    fused = benchmark_module("db_stores").fused
    assert fused(["a", "b", "c"], ["b", "d"]) == ["b", "a", "d", "c"]
