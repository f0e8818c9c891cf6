"""How generation runs the model: the decoder's forward pass, or what the fast engine has in its place."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.engine import Engine, current, use
from quanta_tissu.tisslm.engine.pytorch import to_array
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.kv_cache import KVCache
from quanta_tissu.tisslm.model.pytorch import TorchKVCache, parameters_on

Array = NDArray[Any]


class Forward(Protocol):
    """A forward pass over right-aligned rows of tokens."""

    def allocate(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for `batch` rows of `capacity` positions, where this pass reads and writes it."""

    def __call__(
        self,
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        starts: NDArray[np.int64],
        cache: KVCache | None,
    ) -> Array:
        """Read tokens that follow those of the cache.

        Args:
            ids: Token ids (B, T).
            positions: Position of every token in its row (B, T).
            starts: First column of each row that is no padding, cached columns included (B).
            cache: Keys and values of the tokens before; those of `ids` are added. None: there are none before,
                and none are kept.

        Returns:
            Logits after the last token of each row (B, V). The next pass may write over them.

        Raises:
            ConfigError: An id lies outside the vocabulary, or a position outside the context.
        """


def make_forward(decoder: Decoder, engine: Engine | None, threads: int | None) -> Forward:
    """The way to run a model on an engine, the current one by default.

    Args:
        decoder: The model.
        engine: What runs it.
        threads: Threads of the fast engine; one per core by default.

    Raises:
        ConfigError: A number of threads is given for another engine.
    """
    engine = engine or current()
    check_threads(engine, threads)
    if engine.name == "fast":
        from quanta_tissu.tisslm.engine.threads import available_cores
        from quanta_tissu.tisslm.generate.compiled.fast_forward import FastForward

        return FastForward(decoder, engine, threads or available_cores())
    return PlainForward(decoder, engine)


def check_threads(engine: Engine, threads: int | None) -> None:
    """Refuse a number of threads that would change nothing.

    Raises:
        ConfigError: The engine is not the fast one.
    """
    if threads is not None and engine.name != "fast":
        raise ConfigError(
            f"threads = {threads} is a setting of the fast engine, but the engine is {engine.name}",
            hint="leave it out (or set it to null), or choose the fast engine",
        )


class PlainForward:
    """The decoder's own forward pass, on arrays or on torch tensors.

    Args:
        decoder: The model.
        engine: What runs its ops.
    """

    def __init__(self, decoder: Decoder, engine: Engine) -> None:
        self._decoder = decoder
        self._engine = engine
        self._parameters = parameters_on(engine, decoder)

    def allocate(self, batch: int, capacity: int) -> KVCache:
        """A cache beside the parameters."""
        if self._parameters is not None:
            return TorchKVCache.like(self._parameters, self._decoder, batch, capacity)
        return KVCache.allocate(self._decoder.config, batch, capacity, self._decoder.parameters.flat.dtype)

    def __call__(
        self,
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        starts: NDArray[np.int64],
        cache: KVCache | None,
    ) -> Array:
        """As `Forward`."""
        columns = ids.shape[1] + (0 if cache is None else cache.length)
        padding = np.arange(columns) >= starts[:, None] if starts.any() else None
        # Never across a `yield`: the engine is a context variable, and would leak to whoever holds the iterator.
        with use(self._engine):
            logits = self._decoder.forward(
                ids, params=self._parameters, cache=cache, padding=padding, positions=positions, last_only=True
            )
        return to_array(logits[:, -1])
