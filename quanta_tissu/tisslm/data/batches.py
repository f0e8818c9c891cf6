"""From a stream of tokens to batches of sequences.

Letters: B sequences in a batch, T context length, N tokens in the stream.

Training sequences form one endless stream in which sequence k is a pure function of (seed, k). The position in the
data is therefore one integer: a resumed run, a prefetching thread and a run with other batch sizes see the same
sequences in the same order. A window of T inputs needs T + 1 tokens: the targets are the inputs one token later.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm.config import DataConfig
from quanta_tissu.tisslm.data.splitmix import permutation, splitmix64

IGNORE_INDEX = -100
"""Target of a position that the loss leaves out."""

Tokens = NDArray[np.integer]


@dataclass(frozen=True)
class Batch:
    """Sequences side by side.

    Attributes:
        inputs: Token ids, int64 (B, T).
        targets: The token after each input, int64 (B, T); IGNORE_INDEX where nothing is to be predicted.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]

    @property
    def num_targets(self) -> int:
        """Predictions that the loss counts."""
        return int(np.count_nonzero(self.targets != IGNORE_INDEX))


class Batches(ABC):
    """An endless stream of training sequences, addressed by number.

    Args:
        tokens: The stream of tokens (N,), usually memory-mapped.
        context_length: T.
        seed: Decides the order.

    Raises:
        DataError: The stream is too short for one window.
    """

    def __init__(self, tokens: Tokens, context_length: int, seed: int) -> None:
        if len(tokens) < context_length + 1:
            raise DataError(
                f"too little text: the split has {len(tokens):,} tokens, but one window of context length "
                f"{context_length:,} needs {context_length + 1:,}",
                hint="use more text, a smaller model.context_length, or another data.validation_split_ratio",
            )
        self.tokens = tokens
        self.context_length = context_length
        self.seed = seed

    @property
    @abstractmethod
    def per_epoch(self) -> int:
        """Sequences in one epoch."""

    @abstractmethod
    def _starts(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the token stream each of these sequences begins."""

    def sequences(self, start: int, count: int) -> Batch:
        """Sequences number start … start + count - 1 of the stream, as one batch (count, T)."""
        starts = self._starts(np.arange(start, start + count))
        return _windows(self.tokens, starts, self.context_length)


class RandomWindows(Batches):
    """Windows at uniformly random places, with replacement.

    One epoch is as many sequences as would hold each token once; which tokens really come is left to chance.
    """

    @property
    def per_epoch(self) -> int:
        """Sequences in one epoch."""
        return (len(self.tokens) - 1) // self.context_length

    def _starts(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        places = len(self.tokens) - self.context_length
        # The remainder favours small starts by less than places / 2⁶⁴, which no corpus can show.
        return (splitmix64(self.seed, numbers) % np.uint64(places)).astype(np.int64)


class StridedWindows(Batches):
    """Windows at multiples of `stride`, each once an epoch, in an order drawn anew for every epoch.

    With a stride of T no prediction is repeated within an epoch. The tail that fills no window is left out: fewer
    than `stride` tokens. The order of the current epoch is held in memory: 8 bytes for each window.

    Args:
        tokens: As in Batches.
        context_length: As in Batches.
        seed: As in Batches.
        stride: Distance between the starts of neighbouring windows, in tokens.
    """

    def __init__(self, tokens: Tokens, context_length: int, seed: int, *, stride: int) -> None:
        super().__init__(tokens, context_length, seed)
        self.stride = min(stride, len(tokens))  # beyond that there is one window, whatever the stride
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    @property
    def per_epoch(self) -> int:
        """Sequences in one epoch."""
        return (len(self.tokens) - 1 - self.context_length) // self.stride + 1

    def _starts(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        epochs, places = np.divmod(numbers, self.per_epoch)
        starts = np.empty_like(places)
        for epoch in np.unique(epochs):
            inside = epochs == epoch
            starts[inside] = self._epoch_order(int(epoch))[places[inside]] * self.stride
        return starts

    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        held, order = self._order  # read and replaced as a whole, so threads may share the object
        if held != epoch:
            order = permutation(self.seed, self.per_epoch, stream=epoch)
            self._order = (epoch, order)
        return order


class PackedDocuments(StridedWindows):
    """Strided windows over documents that follow one another, each ended by EOS.

    The first token of a document cannot be predicted from the document before it, so the target of every EOS input
    is ignored. Attention is not cut at the boundary: EOS tells the model that what lies before it is over.

    Args:
        tokens: As in Batches.
        context_length: As in Batches.
        seed: As in Batches.
        stride: As in StridedWindows.
        eos_id: The token that ends a document.
    """

    def __init__(self, tokens: Tokens, context_length: int, seed: int, *, stride: int, eos_id: int) -> None:
        super().__init__(tokens, context_length, seed, stride=stride)
        self.eos_id = eos_id

    def sequences(self, start: int, count: int) -> Batch:
        """Sequences number start … start + count - 1 of the stream, as one batch (count, T)."""
        return _ignore_after(super().sequences(start, count), self.eos_id)


def make_batches(
    tokens: Tokens, config: DataConfig, context_length: int, seed: int, eos_id: int | None = None
) -> Batches:
    """Training sequences as the configuration asks for them.

    Args:
        tokens: The training stream (N,).
        config: `windows` and `stride` are used.
        context_length: T.
        seed: Decides the order.
        eos_id: The token that ends a document; packed windows need one.

    Raises:
        DataError: The stream is too short, or packed windows are asked for and there is no EOS.
    """
    if config.windows == "random":
        return RandomWindows(tokens, context_length, seed)
    stride = config.stride or context_length
    ignored = boundary_id(config, eos_id)
    if ignored is None:
        return StridedWindows(tokens, context_length, seed, stride=stride)
    return PackedDocuments(tokens, context_length, seed, stride=stride, eos_id=ignored)


def boundary_id(config: DataConfig, eos_id: int | None) -> int | None:
    """The token whose target is ignored: EOS if documents are packed, else none.

    Raises:
        DataError: Documents are to be packed, but the tokenizer has no EOS.
    """
    if config.windows != "packed":
        return None
    if eos_id is None:
        raise DataError(
            "data.windows = 'packed' separates documents by EOS, but the tokenizer has no EOS token",
            hint="set tokenizer.special_tokens = true, use a BPE tokenizer, or choose data.windows = random",
        )
    return eos_id


def evaluation_batches(
    tokens: Tokens,
    context_length: int,
    batch_size: int,
    max_batches: int | None = None,
    *,
    ignore_after: int | None = None,
) -> Iterator[Batch]:
    """The same batches at every call: windows that do not overlap, evenly spread over the stream.

    Without a limit, or where the stream fits, every token but the first is a target exactly once: the last window
    may be partial and is then filled up with ignored targets. The last batch may have fewer than B rows.

    Args:
        tokens: The stream to evaluate (N,).
        context_length: T.
        batch_size: B.
        max_batches: Batches at most; None for no limit.
        ignore_after: Ignore the target of this token; `boundary_id` of the data section.

    Returns:
        An iterator of batches.

    Raises:
        DataError: There is nothing to predict.
    """
    if len(tokens) < 2:
        raise DataError(
            f"too little text: the split has {len(tokens)} tokens, but predicting one token needs 2",
            hint="use more text, or another data.validation_split_ratio",
        )
    windows = -(-(len(tokens) - 1) // context_length)
    count = windows if max_batches is None else min(windows, max_batches * batch_size)

    def batches() -> Iterator[Batch]:
        for first in range(0, count, batch_size):
            chosen = np.arange(first, min(first + batch_size, count)) * windows // count
            batch = _windows(tokens, chosen * context_length, context_length)
            yield batch if ignore_after is None else _ignore_after(batch, ignore_after)

    return batches()


def _windows(tokens: Tokens, starts: NDArray[np.int64], context_length: int) -> Batch:
    """Windows (B, T) that begin at `starts` (B,); past the end of the stream targets are ignored, inputs 0."""
    places = starts[:, None] + np.arange(context_length + 1)
    last = len(tokens) - 1
    windows = np.asarray(tokens[np.minimum(places, last)], dtype=np.int64)
    inputs = windows[:, :-1].copy()  # a copy even of a single row, which is contiguous as it is
    targets = windows[:, 1:].copy()
    past = places > last
    if past.any():
        inputs[past[:, :-1]] = 0
        targets[past[:, 1:]] = IGNORE_INDEX
    return Batch(inputs, targets)


def _ignore_after(batch: Batch, token: int) -> Batch:
    """The batch with the targets of every input `token` ignored."""
    return Batch(batch.inputs, np.where(batch.inputs == token, IGNORE_INDEX, batch.targets))
