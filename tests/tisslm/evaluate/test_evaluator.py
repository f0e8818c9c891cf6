"""Evaluation: every token counted once, the loss as defined, and an honest standard error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import ConfigError, DataError
from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.evaluate.evaluator import bytes_of_tokens, evaluate, overlapping_batches
from quanta_tissu.tisslm.model import Decoder, Parameters
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

CHARACTERS = CharacterTokenizer("abcdé")  # 4 special tokens, 4 characters of one byte, one of two
CONFIG = ModelConfig(vocab_size=9, context_length=8, n_layers=1, d_model=16, n_heads=2, init_std=0.5)
DECODER = Decoder.initialise(CONFIG, seed=1)
TOKENS = np.random.default_rng(0).integers(0, 9, 100).astype(np.uint16)


def plain_losses(tokens, stride):
    """Negative log-likelihood of tokens 1 … N-1, one window and one token at a time, in float64."""
    decoder = Decoder(CONFIG, DECODER.parameters.astype(np.float64))
    losses, window, T = {}, [], CONFIG.context_length
    for start in range(0, len(tokens), stride):
        piece = tokens[start : start + T + 1].astype(np.int64)
        if stride < T and len(piece) < T + 1:  # the last window reaches back instead of being short
            start = len(tokens) - T - 1
            piece = tokens[start:].astype(np.int64)
        logits = decoder.forward(piece[None, :-1])[0] if len(piece) > 1 else []
        new = []
        for i, row in enumerate(logits):
            if start + i + 1 not in losses:
                losses[start + i + 1] = np.log(np.exp(row).sum()) - row[piece[i + 1]]
                new.append(start + i + 1)
        if new:
            window.append(new)
    return losses, window


@pytest.mark.parametrize("stride", [None, 8, 5, 1])
@pytest.mark.parametrize("name", ["reference", "fast"])
def test_the_loss_is_the_mean_over_all_tokens_but_the_first(stride, name):
    losses, windows = plain_losses(TOKENS, stride or 8)
    assert sorted(losses) == list(range(1, 100))
    result = evaluate(DECODER, CHARACTERS, TOKENS, stride=stride, engine=engine.get(name))
    assert result.tokens == 99
    assert result.loss == pytest.approx(np.mean(list(losses.values())), rel=1e-6)
    assert result.perplexity == pytest.approx(math.exp(result.loss))
    sums = np.array([sum(losses[i] for i in window) for window in windows])
    sizes = np.array([len(window) for window in windows])
    W, mean = len(windows), sums.sum() / 99
    expected = math.sqrt(W / (W - 1) * ((sums - mean * sizes) ** 2).sum()) / 99
    assert result.loss_stderr == pytest.approx(expected, rel=1e-5)


def test_a_model_that_knows_nothing_has_the_loss_of_guessing():
    ignorant = Decoder(CONFIG, Parameters(Decoder.specs(CONFIG)))
    text = CHARACTERS.encode("abéd" * 50)
    result = evaluate(ignorant, CHARACTERS, np.array(text))
    assert result.loss == pytest.approx(math.log(9), rel=1e-6)
    assert result.perplexity == pytest.approx(9, rel=1e-5)
    assert result.loss_stderr == pytest.approx(0, abs=1e-6)
    # The bytes are those of the predicted characters: all but the first, which is "a".
    assert result.text_bytes == len(("abéd" * 50).encode()) - 1
    assert result.bits_per_byte == pytest.approx(math.log2(9) * 199 / 249, rel=1e-6)
    assert result.tokens_per_second == pytest.approx(199 / result.seconds)


def test_special_tokens_cost_but_are_no_text():
    sizes = bytes_of_tokens(CHARACTERS, 12)
    assert sizes.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 0, 0, 0]
    result = evaluate(DECODER, CHARACTERS, np.array([4, 2, 2, 2]))
    assert (result.tokens, result.text_bytes, result.bits_per_byte) == (3, 0, None)


def test_predictions_after_a_boundary_can_be_left_out():
    after = np.flatnonzero(TOKENS[:-1] == 2) + 1
    for stride in (8, 3):
        losses, _ = plain_losses(TOKENS, stride)
        kept = [loss for i, loss in losses.items() if i not in after]
        result = evaluate(DECODER, CHARACTERS, TOKENS, stride=stride, ignore_after=2)
        assert result.tokens == len(kept) == 99 - len(after)
        assert result.loss == pytest.approx(np.mean(kept), rel=1e-6)


def test_one_window_has_no_standard_error():
    assert evaluate(DECODER, CHARACTERS, TOKENS[:9]).loss_stderr is None


def test_the_standard_error_is_the_spread_between_texts():
    """Texts of independent windows: their losses scatter as the standard error of each says."""
    rng = np.random.default_rng(1)
    results = [evaluate(DECODER, CHARACTERS, rng.integers(0, 9, 8 * 40 + 1)) for _ in range(60)]
    scatter = np.std([result.loss for result in results], ddof=1)
    assert np.mean([result.loss_stderr for result in results]) == pytest.approx(scatter, rel=0.25)


def test_the_result_does_not_depend_on_the_threads(monkeypatch):
    many = np.random.default_rng(2).integers(0, 9, 5000)
    first = evaluate(DECODER, CHARACTERS, many)
    monkeypatch.setattr("quanta_tissu.tisslm.evaluate.evaluator.available_cores", lambda: 3)
    second = evaluate(DECODER, CHARACTERS, many)
    assert (first.loss, first.loss_stderr) == (second.loss, second.loss_stderr)


def test_progress_ends_at_the_number_of_tokens():
    seen = []
    evaluate(DECODER, CHARACTERS, np.resize(TOKENS, 5000), progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 4999


def test_an_infinite_perplexity_is_not_an_error():
    hopeless = Decoder(CONFIG, DECODER.parameters.copy())
    hopeless.parameters["model.embed_tokens.weight"][...] *= 1e4
    assert evaluate(hopeless, CHARACTERS, TOKENS).perplexity == math.inf


@pytest.mark.parametrize("stride", [0, 9])
def test_a_stride_that_leaves_gaps_is_refused(stride):
    with pytest.raises(ConfigError, match=f"a stride of {stride} is not between 1 and the context length, 8"):
        evaluate(DECODER, CHARACTERS, TOKENS, stride=stride)


@pytest.mark.parametrize("stride", [None, 3])
def test_a_single_token_is_nothing_to_predict(stride):
    with pytest.raises(DataError, match="too little text"):
        evaluate(DECODER, CHARACTERS, TOKENS[:1], stride=stride)


def test_documents_of_one_token_are_nothing_to_predict():
    with pytest.raises(DataError, match="every one follows the end of a document"):
        evaluate(DECODER, CHARACTERS, np.array([2, 2, 2]), ignore_after=2)


@given(
    size=st.integers(2, 60), context=st.integers(1, 12), stride=st.integers(1, 12), batch_size=st.integers(1, 5)
)
def test_overlapping_windows_predict_every_token_once_from_enough_tokens(size, context, stride, batch_size):
    stride = min(stride, context)
    tokens = np.arange(size)  # each token tells its place
    seen = []
    for batch in overlapping_batches(tokens, context, batch_size, stride):
        for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
            assert len(inputs) == min(context, size - 1)
            for i in np.flatnonzero(targets != -100):
                assert targets[i] == inputs[i] + 1
                assert i + 1 >= min(targets[i], context - stride + 1)
                seen.append(targets[i])
    assert seen == list(range(1, size))
