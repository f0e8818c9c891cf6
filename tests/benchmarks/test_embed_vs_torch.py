"""The comparison with sentence-transformers runs, on vectors that are the same."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.torch
def test_both_sides_give_the_same_vectors_and_are_timed(benchmark_module, minilm, sentence_transformers):
    script = benchmark_module("embed_vs_torch").__file__
    command = [sys.executable, script, "--texts", "8", "--rounds", "1", "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert report["environment"]["sentence-transformers"] == sentence_transformers.__version__
    result = report["result"]
    assert result["largest_difference"] < 1e-5
    rates = result["texts_per_second"]
    ratio = rates["ours"]["median"] / rates["sentence-transformers"]["median"]
    assert result["ratio"]["passages"]["median"] == pytest.approx(ratio, rel=1e-2)


def test_sides_that_give_different_vectors_are_not_timed(benchmark_module, monkeypatch):
    module = benchmark_module("embed_vs_torch")

    class Side:
        def __init__(self, *arguments):
            self.name = arguments[2]

        def ask(self, question):
            return [[1.0, 0.0]] if self.name == "ours" else [[1.0, 2e-5]]

    monkeypatch.setattr(module, "Side", Side)
    with pytest.raises(SystemExit, match=r"differ by 2\.0e-05"):
        module.compare(8, 1)


def test_passages_are_real_and_always_the_same(benchmark_module):
    passages = benchmark_module("embed_vs_torch").passages
    assert passages(5) == passages(5)
    assert all(len(text.split()) >= 5 for text in passages(50))
    with pytest.raises(SystemExit, match="paragraphs"):
        passages(10**6)
