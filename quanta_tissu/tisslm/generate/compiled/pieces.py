"""Reading many tokens: one piece for every core, each with the ordinary forward pass and a BLAS of one thread.

Two threads on products of their own get more out of two cores than both together on one product after the other
(docs/experiments.md). A batch is cut by its rows, which have nothing to do with each other; a few long rows by
their tokens. A piece of tokens needs the keys and values of the pieces before it, layer by layer, and nothing else
of them: it waits until they are stored, which they are at about the time it has computed its own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.kv_cache import KVCache

Array = NDArray[Any]

# Fewer tokens in a piece do not pay for reading all weights once in every piece.
_SHORTEST = 16


@dataclass(frozen=True)
class Piece:
    """A part of a batch.

    Attributes:
        rows: Which rows.
        tokens: Which of their tokens.
        cache: Where it finds the keys and values of earlier tokens and stores its own.
    """

    rows: slice
    tokens: slice
    cache: KVCache


def cut(config: ModelConfig, B: int, T: int, cache: KVCache, count: int) -> list[Piece]:
    """Cut B rows of T tokens, which follow those of the cache, into at most `count` pieces of about equal work."""
    if B % count != 0 and 4 * count > B and T // count >= _SHORTEST:
        edges = _edges(config, cache.length, T, count)
        pieces, previous = [], None
        for start, stop in pairwise(edges):
            previous = LinkedCache(cache, start, previous)
            pieces.append(Piece(slice(0, B), slice(start, stop), previous))
        return pieces
    edges = [B * i // count for i in range(count + 1)]
    return [
        Piece(slice(start, stop), slice(0, T), _rows_of(cache, start, stop))
        for start, stop in pairwise(edges)
        if start < stop
    ]


def _edges(config: ModelConfig, before: int, T: int, count: int) -> list[int]:
    """Where to cut T tokens that follow `before` others: later tokens cost more, since they see more."""
    D, keys = config.d_model, 2 * config.kv_heads * config.head_dim
    matrices = D * (2 * D + keys + (3 if config.feed_forward == "swiglu" else 2) * config.ff_width)
    seen = np.arange(before + 1, before + T + 1)
    if config.sliding_window is not None:
        seen = np.minimum(seen, config.sliding_window)
    # Attention's products are narrow and have a softmax between them: a number there takes about twice as long.
    cost = np.cumsum(matrices + 2 * 2 * D * seen)
    inner = np.searchsorted(cost, cost[-1] * np.arange(1, count) / count)
    return [0, *inner.tolist(), T]


def _rows_of(cache: KVCache, start: int, stop: int) -> KVCache:
    """Rows of a cache, sharing its memory."""
    part = KVCache(cache.keys[:, start:stop], cache.values[:, start:stop])
    part.length = cache.length
    return part


class LinkedCache(KVCache):
    """A cache whose last tokens are being stored by others, a layer at a time.

    Args:
        cache: Shares its memory.
        start: Tokens of this pass that stand before the piece.
        previous: The piece with the tokens before this one's.
    """

    def __init__(self, cache: KVCache, start: int, previous: LinkedCache | None) -> None:
        super().__init__(cache.keys, cache.values)
        self.length = cache.length + start
        self._previous = previous
        self._stored = [threading.Event() for _ in range(len(cache.keys))]

    def update(self, layer: int, k: Array, v: Array) -> tuple[Array, Array]:
        """Store the piece's own, then wait for what stands before."""
        seen = super().update(layer, k, v)
        if self._previous is not None:
            self._previous._stored[layer].wait()
        self._stored[layer].set()
        return seen

    def abandon(self) -> None:
        """Let those who wait go on, with whatever stands in the cache: this piece has failed."""
        for event in self._stored:
            event.set()
