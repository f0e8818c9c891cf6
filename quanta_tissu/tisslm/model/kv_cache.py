"""The key-value cache: what attention needs of the tokens already seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quanta_tissu.tisslm.config import ModelConfig


class KVCache:
    """Keys and values of every layer, in buffers allocated once.

    A forward pass calls `update` in every layer and `advance` at its end.

    Args:
        keys: (L, B, C, K, E) layers, batch, capacity, key-value heads, head width.
        values: The same shape.

    Attributes:
        length: Number of positions filled, the same for every row (shorter prompts are padded on the left).
    """

    def __init__(self, keys: NDArray[Any], values: NDArray[Any]) -> None:
        self.keys = keys
        self.values = values
        self.length = 0

    @classmethod
    def allocate(
        cls, config: ModelConfig, batch: int, capacity: int | None = None, dtype: DTypeLike = np.float32
    ) -> KVCache:
        """An empty cache for `batch` rows of `capacity` positions (the context length by default)."""
        capacity = config.context_length if capacity is None else capacity
        shape = (config.n_layers, batch, capacity, config.kv_heads, config.head_dim)
        return cls(np.zeros(shape, dtype), np.zeros(shape, dtype))

    @property
    def batch(self) -> int:
        """Number of rows."""
        return int(self.keys.shape[1])

    @property
    def capacity(self) -> int:
        """Positions that fit."""
        return int(self.keys.shape[2])

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return self.keys.nbytes + self.values.nbytes

    def update(self, layer: int, k: NDArray[Any], v: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Store keys and values (B, T, K, E) of new tokens; return those of all tokens so far (B, S, K, E)."""
        end = self.length + k.shape[1]
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions; {end} were asked of it")
        self.keys[layer, :, self.length : end] = k
        self.values[layer, :, self.length : end] = v
        return self.keys[layer, :, :end], self.values[layer, :, :end]

    def advance(self, tokens: int) -> None:
        """Count the tokens that a forward pass has stored in every layer."""
        self.length += tokens

    def select(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> KVCache:
        """A copy with these rows, in this order (repeats allowed)."""
        # Not by an index, whose result can have its axes in another order in memory.
        chosen = KVCache(np.take(self.keys, rows, axis=1), np.take(self.values, rows, axis=1))
        chosen.length = self.length
        return chosen

    def forget(self, positions: int) -> None:
        """Forget the first positions; the others move to the front."""
        left = self.length - positions
        self.keys[:, :, :left] = self.keys[:, :, positions : self.length]
        self.values[:, :, :left] = self.values[:, :, positions : self.length]
        self.truncate(left)

    def truncate(self, length: int) -> None:
        """Forget all positions from `length` on."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot truncate a cache of length {self.length} to {length}")
        self.length = length
