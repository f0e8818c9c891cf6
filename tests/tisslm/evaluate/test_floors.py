"""Floors are what counting reaches: checked against exact counts, a slow count, and their own definition."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm.evaluate import floors as module
from quanta_tissu.tisslm.evaluate.floors import Floors, bigram_loss, floors

V = 6
streams = st.lists(st.integers(0, V - 1), min_size=2, max_size=60)


def array(tokens: list[int]) -> np.ndarray:
    return np.array(tokens, np.uint16)


def counted_slowly(train: list[int], validation: list[int], ignored: int | None = None) -> Floors:
    """The definitions of the module's docstring, one pair at a time."""

    def pairs_of(tokens: list[int]) -> list[tuple[int, int]]:
        return [(a, b) for a, b in pairwise(tokens) if a != ignored]

    single, pairs = Counter(train), Counter(pairs_of(train))
    times = Counter(pairs.values())
    d = (times[1] + 1) / (times[1] + 2 * times[2] + 2)

    def unigram(b: int) -> float:
        return (single[b] + 1) / (len(train) + V)

    def bigram(a: int, b: int) -> float:
        following = {pair: count for pair, count in pairs.items() if pair[0] == a}
        seen = sum(following.values())
        if not seen:
            return unigram(b)
        return (max(pairs[a, b] - d, 0) + d * len(following) * unigram(b)) / seen

    scored = pairs_of(validation)
    return Floors(
        uniform=math.log(V),
        unigram=-sum(math.log(unigram(b)) for _, b in scored) / len(scored),
        bigram=-sum(math.log(bigram(a, b)) for a, b in scored) / len(scored),
    )


@given(train=streams, validation=streams)
def test_they_are_the_definition_counted_one_pair_at_a_time(train, validation):
    found, expected = floors(array(train), array(validation), V), counted_slowly(train, validation)
    assert found.uniform == pytest.approx(expected.uniform, rel=1e-12)
    assert found.unigram == pytest.approx(expected.unigram, rel=1e-12)
    assert found.bigram == pytest.approx(expected.bigram, rel=1e-12)


@given(train=streams)
def test_the_smoothed_bigram_is_a_probability_distribution(train):
    # Score every continuation of one token at a time: exp(-loss) is its probability.
    for a in range(V):
        total = sum(math.exp(-floors(array(train), array([a, b]), V).bigram) for b in range(V))
        assert total == pytest.approx(1, rel=1e-12)


@given(train=streams, validation=streams)
def test_the_first_token_of_the_next_document_can_be_left_out(train, validation):
    train, validation = [1, 2, *train], [1, 2, *validation]  # at least one pair does not begin with 0
    found = floors(array(train), array(validation), V, ignore_after=0)
    expected = counted_slowly(train, validation, ignored=0)
    assert found.unigram == pytest.approx(expected.unigram, rel=1e-12)
    assert found.bigram == pytest.approx(expected.bigram, rel=1e-12)


def test_counting_in_chunks_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    train, validation = rng.integers(0, V, 1000), rng.integers(0, V, 300)
    whole = floors(train, validation, V)
    monkeypatch.setattr(module, "_CHUNK", 7)
    assert floors(train, validation, V) == whole


def test_a_text_that_is_all_habit_costs_almost_nothing_to_a_bigram():
    found = floors(np.arange(3000) % 3, np.arange(900) % 3, 3)
    assert found.uniform == pytest.approx(math.log(3))
    assert found.unigram == pytest.approx(math.log(3), rel=1e-3)
    assert found.bigram < 0.002


def test_the_exact_likelihood_of_the_names(shared_data):
    names = (shared_data / "names.txt").read_text().split()
    letters = "." + "".join(sorted(set("".join(names))))
    tokens = np.array([letters.index(character) for character in "." + ".".join(names) + "."])
    assert len(letters) == 27
    assert len(tokens) - 1 == 228_146
    assert bigram_loss(tokens, tokens, 27) == pytest.approx(2.454014, abs=5e-7)
    assert bigram_loss(tokens, tokens, 27, added=1) == pytest.approx(2.454577, abs=5e-7)


def test_an_unseen_pair_is_infinitely_costly_unless_counts_are_smoothed():
    train, scored = array([0, 1, 0, 1]), array([1, 1])
    assert bigram_loss(train, scored, 2) == math.inf
    assert bigram_loss(train, scored, 2, added=1) == pytest.approx(math.log(3))
    assert bigram_loss(train, array([2, 0]), 3) == math.inf  # nothing is known after a token never seen
    assert floors(train, scored, 2).bigram < math.inf


@pytest.mark.parametrize(("train", "validation", "name"), [([1], [1, 2], "training"), ([1, 2], [], "validation")])
def test_streams_too_short_to_count_are_refused(train, validation, name):
    with pytest.raises(DataError, match=f"the {name} stream has"):
        floors(array(train), array(validation), V)


def test_a_stream_of_boundaries_alone_is_refused():
    with pytest.raises(DataError, match="no two tokens in a row"):
        floors(array([0, 0, 0]), array([1, 2]), V, ignore_after=0)


@pytest.mark.parametrize(
    ("train", "validation", "name"), [([1, 9], [1, 2], "training"), ([1, 2], [9, 1], "validation")]
)
def test_tokens_outside_the_vocabulary_are_refused(train, validation, name):
    with pytest.raises(DataError, match=f"the {name} stream has the token 9, but the vocabulary ends at 5"):
        floors(array(train), array(validation), V)
