"""The measurement of feedback: wordings differ and mean the same, and its figures are those of what was found."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture
def module(benchmark_module):
    return benchmark_module("feedback")


def test_every_entry_is_asked_about_in_six_different_wordings(module):
    chosen = module.choose(module.entries(), 60, seed=0)
    for entry, kind, _ in chosen:
        texts = module.wordings(entry, kind)
        assert len(set(texts)) == 6
        if kind == "by name":
            assert all(entry.name in text for text in texts)
        if kind == "in plain words":
            assert not any("." in text.rstrip(".") for text in texts)


def test_half_of_the_entries_of_each_kind_are_taught(module):
    chosen = module.choose(module.entries(), 60, seed=0)
    for kind in module.KINDS:
        assert [taught for _, other, taught in chosen if other == kind].count(True) == 10
    assert len({entry.name for entry, _, _ in chosen}) == 60


def test_gains_are_of_ranks_and_of_what_is_found(module):
    before = np.array([[0, 2], [1, 4]])
    after = np.array([[1, 2], [2, 0]])
    rows = module.gain(before, after)
    assert rows["mean_reciprocal_rank"]["before"] == pytest.approx((0 + 0.5 + 1 + 0.25) / 4, abs=1e-3)
    assert rows["mean_reciprocal_rank"]["after"] == pytest.approx((1 + 0.5 + 0.5 + 0) / 4, abs=1e-3)
    assert rows["recall_at_10"]["gain"] == 0
    assert (rows["questions"], rows["better"], rows["worse"]) == (4, 1, 2)
    low, high = rows["mean_reciprocal_rank"]["interval"]
    assert low <= rows["mean_reciprocal_rank"]["gain"] <= high


@pytest.mark.slow
def test_what_is_taught_helps_other_wordings_and_hurts_nothing_else(module):
    command = [sys.executable, module.__file__, "--entries", "60", "--embedder", "ngrams-256", "--json"]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["result"]
    ratings, corrections = result["runs"]
    assert ratings["given"]["good"] > 50
    assert corrections["given"]["pinned"] > 0
    for run in (ratings, corrections):
        for kind in module.KINDS:
            assert run[kind]["taught"]["mean_reciprocal_rank"]["gain"] >= 0
            assert run[kind]["unrelated"]["mean_reciprocal_rank"]["gain"] > -0.02
        assert run["by description"]["taught"]["mean_reciprocal_rank"]["gain"] > 0.1
        assert run["by description"]["held out"]["mean_reciprocal_rank"]["gain"] > 0.02
