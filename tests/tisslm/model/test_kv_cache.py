"""The key-value cache stores, counts, selects and forgets."""

import numpy as np
import pytest

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model import KVCache

CONFIG = ModelConfig(n_layers=2, d_model=8, n_heads=4, n_kv_heads=2, context_length=6)


def filled(cache: KVCache, tokens: int) -> np.ndarray:
    new = np.arange(cache.batch * tokens * 4, dtype=np.float32).reshape(cache.batch, tokens, 2, 2)
    for layer in range(2):
        cache.update(layer, new + layer, -new)
    cache.advance(tokens)
    return new


def test_update_returns_all_tokens_so_far():
    cache = KVCache.allocate(CONFIG, batch=3)
    first = filled(cache, 2)
    k, v = cache.update(1, first[:, :1] * 10, first[:, :1])
    np.testing.assert_array_equal(k, np.concatenate([first + 1, first[:, :1] * 10], axis=1))
    np.testing.assert_array_equal(v[:, :2], -first)
    assert cache.length == 2  # `advance` counts, once all layers have stored theirs


def test_overflow_is_refused():
    cache = KVCache.allocate(CONFIG, batch=1, capacity=3)
    filled(cache, 2)
    with pytest.raises(ValueError, match="holds 3 positions; 4 were asked"):
        filled(cache, 2)


def test_rows_can_be_selected_and_repeated():
    cache = KVCache.allocate(CONFIG, batch=3)
    filled(cache, 2)
    chosen = cache.select([2, 2, 0])
    assert chosen.length == 2
    np.testing.assert_array_equal(chosen.keys[:, 1], cache.keys[:, 2])
    np.testing.assert_array_equal(chosen.keys[:, 2], cache.keys[:, 0])


def test_truncate_forgets_the_end():
    cache = KVCache.allocate(CONFIG, batch=1)
    filled(cache, 4)
    cache.truncate(1)
    assert cache.length == 1
    with pytest.raises(ValueError, match="of length 1 to 2"):
        cache.truncate(2)


def test_bytes_are_two_times_layers_batch_capacity_heads_width():
    assert KVCache.allocate(CONFIG, batch=3).nbytes == 2 * 2 * 3 * 6 * 2 * 2 * 4
