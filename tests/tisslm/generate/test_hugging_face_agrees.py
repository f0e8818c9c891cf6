"""Hugging Face's logits processors are an independent reading of the same papers: both give the same numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslm.generate import processors as links
from quanta_tissu.tisslm.generate.processors import Context

pytestmark = pytest.mark.torch

VOCABULARY = 37


@pytest.fixture(scope="module")
def agree(torch, transformers):
    """Compare a processor with one of theirs on random logits; theirs computes in float64 too."""

    def compare(ours, theirs, seed, length=12):
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(3, VOCABULARY)) * 4
        tokens = rng.integers(0, 7, (3, length))
        got = ours(logits, Context(list(tokens), step=length))
        want = theirs(torch.tensor(tokens), torch.tensor(logits)).numpy()
        np.testing.assert_allclose(got, want, rtol=1e-14, atol=0)

    return compare


SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(1, VOCABULARY))
@settings(max_examples=50)
def test_top_k(agree, transformers, seed, k):
    agree(links.top_k(k), transformers.TopKLogitsWarper(top_k=k), seed)


@given(SEEDS, st.floats(0.001, 0.999))
@settings(max_examples=50)
def test_top_p(agree, transformers, seed, p):
    agree(links.top_p(p), transformers.TopPLogitsWarper(top_p=p), seed)


@given(SEEDS, st.floats(0.001, 0.999))
@settings(max_examples=50)
def test_min_p(agree, transformers, seed, p):
    agree(links.min_p(p), transformers.MinPLogitsWarper(min_p=p), seed)


@given(SEEDS, st.floats(0.1, 10))
@settings(max_examples=50)
def test_repetition_penalty(agree, transformers, seed, penalty):
    agree(links.repetition_penalty(penalty), transformers.RepetitionPenaltyLogitsProcessor(penalty=penalty), seed)


@given(SEEDS, st.integers(1, 4))
@settings(max_examples=50)
def test_no_repeat_ngram(agree, transformers, seed, n):
    agree(links.no_repeat_ngram(n), transformers.NoRepeatNGramLogitsProcessor(n), seed)


@given(SEEDS, st.floats(0.01, 100))
@settings(max_examples=50)
def test_temperature_up_to_the_shift_that_changes_no_probability(torch, transformers, seed, temperature):
    logits = np.random.default_rng(seed).normal(size=(3, VOCABULARY)) * 4
    theirs = transformers.TemperatureLogitsWarper(temperature)(None, torch.tensor(logits)).softmax(-1)
    ours = links.probabilities(links.temperature(temperature)(logits, Context([], 0)))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-11, atol=1e-300)
