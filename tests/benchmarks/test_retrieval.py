"""The measurement of retrieval: its questions can be answered, and its figures are those of what was found."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture
def module(benchmark_module):
    return benchmark_module("retrieval")


def test_questions_are_of_both_kinds_and_their_answers_in_the_corpus(module):
    known = module.entries()
    asked = module.questions(known, 300)
    assert [question.kind for question in asked].count("by name") == 150
    assert len({question.heading for question in asked}) == 300
    pages = module.pages(known, asked)
    assert all(f"## {question.heading}\n" in pages[f"{question.heading.split('.')[0]}.md"] for question in asked)
    assert asked == module.questions(known, 300)


def test_what_describes_a_function_is_not_in_its_passage(module):
    known = module.entries()
    asked = [question for question in module.questions(known, 100) if question.kind == "by description"]
    pages = module.pages(known, asked)
    for question in asked:
        page = pages[f"{question.heading.split('.')[0]}.md"]
        section = page.split(f"## {question.heading}\n")[1].split("\n## ")[0]
        assert question.text.rstrip("?") not in " ".join(section.split())


def test_places_are_those_of_the_heading_itself(module):
    assert module._place(["json › json.dump", "json › json.dumps"], "json.dumps") == 2
    assert module._place(["json"], "json.dumps") == 0


def test_intervals_hold_the_mean(module):
    low, high = module.interval(np.array([1.0] * 80 + [0.0] * 20))
    assert low < 0.8 < high
    assert 0.1 < high - low < 0.2


@pytest.mark.slow
def test_it_measures_every_way_of_finding(module):
    command = [sys.executable, module.__file__, "--questions", "60", "--embedder", "ngrams-256", "--json"]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["result"]
    assert result["embedder"] == "ngrams-256"
    assert result["kinds"]["all"]["questions"] == 60
    assert result["kinds"]["by name"]["words"]["recall_at_10"] > 0.9
    for rows in result["kinds"].values():
        gain = rows["hybrid"]["recall_at_10"] - rows["words"]["recall_at_10"]
        assert rows["hybrid"]["against_words"]["gain"] == pytest.approx(gain, abs=2e-3)


def test_more_questions_than_docstrings_are_refused(module):
    with pytest.raises(SystemExit, match="docstrings to ask about"):
        module.measure(10**6, "ngrams-256")
