"""Sequences that grow together in one batch: prefill, single steps, and what happens when the context is full.

Rows have different lengths but share the columns of one key-value cache, so they are aligned at their right ends:

    column      0   1   2   3   4
    row 0       .   .   To  be  or        . is padding, masked out of attention
      position          0   1   2         every row counts from its own first token
    row 1       It  is  not so  bad
      position  0   1   2   3   4

Nothing a row computes depends on the rows beside it. It can differ in the last bits from the same row alone,
because matrix products of other shapes round differently (the tests state by how much).

A row that has filled the context slides: it keeps the most recent half of the context (rounded down, at least one
token), the new token included, reads that again from position 0, and goes on. Re-reading costs one prefilled token
per generated one, and is exact for every kind of positions; moving cached keys would not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine import Engine
from quanta_tissu.tisslm.generate.forward import make_forward
from quanta_tissu.tisslm.generate.processors import Ids
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.kv_cache import KVCache

Array = NDArray[Any]


class GrowingBatch:
    """Token sequences and the logits of the token that follows each.

    Args:
        decoder: The model.
        prompts: Ids of each row, at least one; of a prompt longer than the context the last part is read.
        room: Tokens that will be appended at most, for the size of the cache.
        chunk: Read prompts in pieces of this many tokens; None: at once.
        kv_cache: Keep keys and values; otherwise every step reads everything again.
        engine: What runs the model; the current engine by default.
        threads: Threads of the fast engine; one per core by default.

    Attributes:
        windows: For each row the ids that the model sees, at most the context length.
        logits: Logits of the next token of each row, (B, V).
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: Sequence[Sequence[int]],
        *,
        room: int,
        chunk: int | None = None,
        kv_cache: bool = True,
        engine: Engine | None = None,
        threads: int | None = None,
    ) -> None:
        self.windows = [list(prompt[-decoder.config.context_length :]) for prompt in prompts]
        self._decoder = decoder
        self._room = room
        self._chunk = chunk
        self._kv_cache = kv_cache
        self._forward = make_forward(decoder, engine, threads)
        self.logits, self._cache = self._read(self.windows, room)

    def append(self, ids: Ids) -> None:
        """Append one token to every row, ids (B,), and update the logits."""
        limit = self._decoder.config.context_length
        slid = []
        for row, token in enumerate(ids.tolist()):
            window = self.windows[row]
            window.append(token)
            if len(window) > limit:
                del window[: -max(1, limit // 2)]
                slid.append(row)
        self._room -= 1
        if self._cache is None or len(slid) == len(self.windows):
            self.logits, self._cache = self._read(self.windows, self._room)
            return
        cache = self._with_space(self._cache)
        lengths = np.array([len(window) for window in self.windows])
        self.logits = self._forward(ids[:, None], lengths[:, None] - 1, cache.length + 1 - lengths, cache)
        if slid:
            # What the step computed for these rows belongs to the old window; put the new one in its place.
            windows = [self.windows[row] for row in slid]
            self.logits[slid], reread = self._read(windows, 0)
            if reread is not None:
                columns = slice(cache.length - reread.length, cache.length)
                cache.keys[:, slid, columns] = reread.keys
                cache.values[:, slid, columns] = reread.values

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; repeats become rows of their own."""
        self.windows = [list(self.windows[row]) for row in rows]
        self.logits = self.logits[rows]
        if self._cache is not None:
            self._cache = self._cache.select(rows)

    def _read(self, windows: Sequence[Sequence[int]], room: int) -> tuple[Array, KVCache | None]:
        """Read whole rows from the start: logits (B, V), and a cache with room for more."""
        lengths = np.array([len(window) for window in windows])
        width = int(lengths.max())
        ids = np.zeros((len(windows), width), dtype=np.int64)
        for row, window in enumerate(windows):
            ids[row, width - len(window) :] = window
        positions = np.maximum(np.arange(width) - (width - lengths[:, None]), 0)
        starts = width - lengths
        if not self._kv_cache:
            return self._forward(ids, positions, starts, None), None
        config = self._decoder.config
        cache = self._forward.allocate(len(windows), min(config.context_length, width + room))
        step = self._chunk or width
        for start in range(0, width, step):
            end = min(start + step, width)
            logits = self._forward(ids[:, start:end], positions[:, start:end], starts, cache)
        return logits, cache

    def _with_space(self, cache: KVCache) -> KVCache:
        """Make a full cache forget the columns that have become padding in every row.

        There are some: no row, without its newest token, fills the context, or it would have slid.
        """
        if cache.length == cache.capacity:
            cache.forget(cache.length - max(map(len, self.windows)) + 1)
        return cache
