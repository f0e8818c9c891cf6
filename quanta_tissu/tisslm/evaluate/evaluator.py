"""How well a model predicts a stream of tokens: loss with its standard error, perplexity, bits per byte."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import ConfigError, DataError
from quanta_tissu.tisslm import engine as engines
from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.data.batches import IGNORE_INDEX, Batch, evaluation_batches
from quanta_tissu.tisslm.engine import Engine
from quanta_tissu.tisslm.engine.threads import ThreadTeam, available_cores
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.pytorch import parameters_on
from quanta_tissu.tisslm.tokenizers.base import Tokenizer

_BATCH_TOKENS = 1024
"""Tokens of one batch: enough for matrix products to be fast, few enough for activations to stay in the cache."""


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    Attributes:
        loss: Mean negative log-likelihood of the predicted tokens, in nats per token.
        loss_stderr: Standard error of `loss` if the text is a sample of many like it, by windows: predictions in
            one window share their text and their context, so the windows count as independent and their tokens do
            not. Neighbouring windows of one document resemble each other too, so this is rather too small than too
            large. None for a single window.
        tokens: Predicted tokens.
        text_bytes: Bytes of text that these tokens stand for. Special tokens stand for none, though predicting
            them costs.
        seconds: Time it took.
    """

    loss: float
    loss_stderr: float | None
    tokens: int
    text_bytes: int
    seconds: float

    @property
    def perplexity(self) -> float:
        """exp(loss): the number of equally likely tokens that would be as hard to predict; inf if too large."""
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf

    @property
    def bits_per_byte(self) -> float | None:
        """Bits to compress a byte of text; unlike the loss, comparable between tokenizers. None without text."""
        if not self.text_bytes:
            return None
        return self.loss * self.tokens / math.log(2) / self.text_bytes

    @property
    def tokens_per_second(self) -> float:
        """Speed of this evaluation."""
        return self.tokens / self.seconds


def evaluate(
    decoder: Decoder,
    tokenizer: Tokenizer,
    tokens: NDArray[np.integer[Any]],
    *,
    stride: int | None = None,
    ignore_after: int | None = None,
    engine: Engine | None = None,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Predict every token of a stream but the first, each exactly once.

    Args:
        decoder: The model.
        tokenizer: Its tokenizer, which knows how many bytes a token stands for.
        tokens: The stream (N,).
        stride: Distance between windows, at most the context length (the default). Then the first tokens of a
            window are predicted from few; a smaller stride gives every token at least context_length - stride
            tokens to be predicted from, and costs context_length / stride times as much.
        ignore_after: Leave out the prediction after this token (EOS, where documents are packed).
        engine: What runs the ops; the current engine by default.
        progress: Called with the number of tokens predicted so far, from several threads but one at a time.

    Raises:
        ConfigError: The stride is not between 1 and the context length.
        DataError: There is nothing to predict.
    """
    T, V = decoder.config.context_length, decoder.config.vocab_size or 1
    if stride is not None and not 1 <= stride <= T:
        raise ConfigError(
            f"a stride of {stride} is not between 1 and the context length, {T}",
            hint="windows must overlap or touch, or tokens between them would not be predicted",
        )
    batch_size = max(1, _BATCH_TOKENS // T)
    if stride is None or stride == T:
        batches = evaluation_batches(tokens, T, batch_size, ignore_after=ignore_after)
    else:
        batches = overlapping_batches(tokens, T, batch_size, stride, ignore_after=ignore_after)
    with nullcontext() if engine is None else engines.use(engine):
        params = parameters_on(engines.current(), decoder)
        one = np.zeros((1, 1), np.int64)
        # Loads the compiled kernels, so that the speed is that of evaluating.
        decoder.loss(one, one, params=params)
        start = time.perf_counter()
        windows = _losses(decoder, params, batches, bytes_of_tokens(tokenizer, V), progress)
        seconds = max(time.perf_counter() - start, 1e-9)
    return _summed(windows, seconds)


def overlapping_batches(
    tokens: NDArray[np.integer[Any]],
    context_length: int,
    batch_size: int,
    stride: int,
    *,
    ignore_after: int | None = None,
) -> Iterator[Batch]:
    """Windows that begin every `stride` tokens; each predicts only what no window before it has predicted.

    Every token but the first is a target once. All windows are full, unless the stream is shorter than one: the
    last one reaches further back instead.

    Args:
        tokens: The stream (N,).
        context_length: T.
        batch_size: B.
        stride: Targets of each window but the first, which has T; at most T.
        ignore_after: Ignore the target of this token.

    Raises:
        DataError: There is nothing to predict.
    """
    last = len(tokens) - 1
    if last < 1:
        raise DataError(
            f"too little text: predicting one token needs 2, there are {len(tokens)}", hint="give more text"
        )
    length = min(context_length, last)
    ends = np.minimum(np.arange(length, last + stride, stride), last)  # last target of each window
    done = np.concatenate([[0], ends[:-1]])  # last target of the window before
    for first in range(0, len(ends), batch_size):
        end, covered = ends[first : first + batch_size, None], done[first : first + batch_size, None]
        places = end - length + np.arange(length)
        inputs = np.asarray(tokens[places], dtype=np.int64)
        targets = np.asarray(tokens[places + 1], dtype=np.int64)
        targets[places + 1 <= covered] = IGNORE_INDEX
        if ignore_after is not None:
            targets[inputs == ignore_after] = IGNORE_INDEX
        yield Batch(inputs, targets)


def bytes_of_tokens(tokenizer: Tokenizer, vocab_size: int) -> NDArray[np.int64]:
    """Bytes of text that each id stands for (V,): none for special tokens and for ids that no text has."""
    special = set(tokenizer.special_tokens.values())
    sizes = np.zeros(vocab_size, np.int64)
    for token_id in range(min(vocab_size, tokenizer.vocab_size)):
        if token_id not in special:
            sizes[token_id] = len(tokenizer.token_bytes(token_id))
    return sizes


@dataclass
class _Windows:
    """Sums over the targets of each window, in the order of the stream."""

    nats: NDArray[np.float64]
    tokens: NDArray[np.int64]
    text_bytes: int


def _losses(
    decoder: Decoder,
    params: Mapping[str, Any] | None,
    batches: Iterator[Batch],
    sizes: NDArray[np.int64],
    progress: Callable[[int], None] | None,
) -> _Windows:
    """Summed loss of every window; each batch goes to whichever thread is free."""
    numbered, lock, done = enumerate(batches), Lock(), 0

    def work() -> list[tuple[int, list[tuple[float, int]], int]]:
        nonlocal done
        found: list[tuple[int, list[tuple[float, int]], int]] = []
        while True:
            with lock:
                number, batch = next(numbered, (0, None))
            if batch is None:
                return found
            found.append((number, _window_losses(decoder, params, batch), _text_bytes(batch, sizes)))
            if progress is not None:
                with lock:
                    done += batch.num_targets
                    progress(done)

    # PyTorch has threads of its own.
    cores = available_cores() if params is None else 1
    with ThreadTeam(cores) as team:
        # Sorted by number, the result does not depend on which thread was faster.
        results = sorted(result for found in team.run([work] * cores) for result in found)
    windows = [window for _, found, _ in results for window in found]
    nats, tokens = np.array([w[0] for w in windows]), np.array([w[1] for w in windows], np.int64)
    return _Windows(nats, tokens, sum(size for _, _, size in results))


def _window_losses(decoder: Decoder, params: Mapping[str, Any] | None, batch: Batch) -> list[tuple[float, int]]:
    """(Nats, targets) of each window that has targets."""
    logits = decoder.forward(batch.inputs, params=params)
    counts = np.count_nonzero(batch.targets != IGNORE_INDEX, axis=1)
    return [
        (float(ops.cross_entropy(logits[row], targets=batch.targets[row], denominator=1.0)), int(counts[row]))
        for row in np.flatnonzero(counts)
    ]


def _text_bytes(batch: Batch, sizes: NDArray[np.int64]) -> int:
    return int(sizes[batch.targets[batch.targets != IGNORE_INDEX]].sum())


def _summed(windows: _Windows, seconds: float) -> Evaluation:
    """The mean, and its standard error from the spread between windows.

    With L_w nats on n_w tokens in window w of W, the mean is m = Σ L_w / Σ n_w, a ratio of two sums over windows;
    its variance is, to first order,  W / (W - 1) · Σ (L_w - m n_w)² / (Σ n_w)²   (Cochran 1977, section 6.4).
    """
    count, tokens = len(windows.nats), int(windows.tokens.sum())
    if not tokens:
        raise DataError(
            "no token of the text is to be predicted: every one follows the end of a document",
            hint="give documents of more than one token",
        )
    loss = math.fsum(windows.nats) / tokens
    stderr = None
    if count > 1:
        residuals = windows.nats - loss * windows.tokens
        stderr = math.sqrt(count / (count - 1) * float(residuals @ residuals)) / tokens
    return Evaluation(loss, stderr, tokens, windows.text_bytes, seconds)
