"""The fast engine's forward pass: a few tokens as one compiled kernel, many through BLAS in pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine import Engine
from quanta_tissu.tisslm.engine.crew import crew
from quanta_tissu.tisslm.engine.threads import single_threaded_blas
from quanta_tissu.tisslm.generate.compiled.forward import CompiledForward
from quanta_tissu.tisslm.generate.compiled.pieces import LinkedCache, cut
from quanta_tissu.tisslm.generate.forward import Array, PlainForward
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.kv_cache import KVCache

# Tokens of one pass up to which the kernel was faster than BLAS, for all matrix shapes (docs/experiments.md).
_FEW = 64


class FastForward:
    """As `Forward`.

    Args:
        decoder: The model.
        engine: The fast engine.
        threads: Number of threads.
    """

    def __init__(self, decoder: Decoder, engine: Engine, threads: int) -> None:
        self._decoder = decoder
        self.threads = threads
        self._compiled = CompiledForward(decoder, threads)
        self._plain = PlainForward(decoder, engine)

    def allocate(self, batch: int, capacity: int) -> KVCache:
        """A cache of arrays."""
        return self._plain.allocate(batch, capacity)

    def __call__(
        self,
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        starts: NDArray[np.int64],
        cache: KVCache | None,
    ) -> Array:
        """As `Forward`."""
        if cache is None:
            return self._plain(ids, positions, starts, cache)
        if ids.size <= _FEW:
            self._decoder.check(ids, positions)
            return self._compiled(ids, positions, starts, cache)
        return self._in_pieces(ids, positions, starts, cache)

    def _in_pieces(
        self,
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        starts: NDArray[np.int64],
        cache: KVCache,
    ) -> Array:
        B, T = ids.shape
        pieces = cut(self._decoder.config, B, T, cache, self.threads)
        logits: list[Array] = [ids] * len(pieces)

        def read(worker: int, _: object) -> None:
            piece = pieces[worker]
            part = np.s_[piece.rows, piece.tokens]
            logits[worker] = self._plain(ids[part], positions[part], starts[piece.rows], piece.cache)

        def abandon() -> None:
            for piece in pieces:
                if isinstance(piece.cache, LinkedCache):
                    piece.cache.abandon()

        with single_threaded_blas():
            crew().run(read, len(pieces), abandon)
        cache.advance(T)
        last = [part for part, piece in zip(logits, pieces, strict=True) if piece.tokens.stop == T]
        return np.concatenate(last)
