"""Statements that are nearly right, on every engine. `fuzz.py` asks many more."""

from __future__ import annotations

import os

from tests.tissdb.tissql.fuzz import Fuzzer, run


def test_the_answer_is_a_result_or_an_error_of_ours(url):
    counts, found = run([os.fspath(url)], 150, seed=1)
    assert found == []
    assert counts["results"] > 5
    assert counts["errors of the statement"] > 100


def test_what_is_asked_depends_on_the_seed_alone():
    first, second = ([Fuzzer(5).statement() for _ in range(3)] for _ in range(2))
    assert first == second
