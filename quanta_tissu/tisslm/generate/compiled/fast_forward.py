"""The fast engine's forward pass in the place of the decoder's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine import Engine
from quanta_tissu.tisslm.generate.compiled.forward import CompiledForward
from quanta_tissu.tisslm.generate.forward import Array, PlainForward
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.kv_cache import KVCache


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
        self._decoder.check(ids, positions)
        if cache is None:
            cache = self.allocate(*ids.shape)
        return self._compiled(ids, positions, starts, cache)
