"""Prompts through the compiled pass over many tokens, in chunks of rows and tokens: so its buffers stay small."""

from __future__ import annotations

import itertools
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.engine import products
from quanta_tissu.tisslm.engine.crew import crew
from quanta_tissu.tisslm.engine.simd import LANES, TALL_TILE_ROWS
from quanta_tissu.tisslm.generate.compiled import prompt_kernels as kernels
from quanta_tissu.tisslm.generate.compiled.arguments import Model, PromptWorkspace, Tokens
from quanta_tissu.tisslm.model.kv_cache import KVCache

Array = NDArray[Any]

CHUNK = 512
"""Tokens of a pass at most: each weight is packed once for so many, and so many activations are held."""


class PromptForward:
    """All blocks but the last one, of which keys and values alone are made, for any number of tokens.

    Args:
        model: What the kernel needs to know of the decoder.
        config: The decoder's configuration.
        threads: Number of threads of a pass.
    """

    def __init__(self, model: Model, config: ModelConfig, threads: int) -> None:
        self._model = model
        self._config = config
        self._threads = threads
        self._work: PromptWorkspace | None = None

    def __call__(
        self, ids: NDArray[np.int64], positions: NDArray[np.int64], starts: NDArray[np.int64], cache: KVCache
    ) -> Array:
        """Read tokens that follow those of the cache, and store their keys and values; the cache is not advanced.

        Args:
            ids: Token ids (B, T), in the vocabulary.
            positions: Their positions (B, T), in the context.
            starts: First column of each row that is no padding (B).
            cache: Has room for T more.

        Returns:
            What enters the last block at the last token of each row (B, D).
        """
        B, T = ids.shape
        ends = np.empty((B, self._config.d_model), self._model.weights.dtype)
        for r0, r1 in pairwise(_edges(B, max(1, CHUNK // T))):
            for t0, t1 in pairwise(_edges(T, max(1, CHUNK // (r1 - r0)))):
                rows = np.repeat(np.arange(r0, r1), t1 - t0)
                tokens = Tokens(
                    ids=ids[r0:r1, t0:t1].reshape(-1),
                    positions=positions[r0:r1, t0:t1].reshape(-1),
                    rows=rows,
                    columns=cache.length + np.tile(np.arange(t0, t1), r1 - r0),
                    starts=starts[rows],
                    last=np.arange(1, r1 - r0 + 1) * (t1 - t0) - 1,
                    single=False,
                )
                x = self._pass(tokens, cache)
            ends[r0:r1] = x[tokens.last]
        return ends

    def _pass(self, tokens: Tokens, cache: KVCache) -> Array:
        model, threads, work = self._model, self._threads, self._workspace(len(tokens.ids), cache.capacity)
        work.taken[:] = 0

        def enter(worker: int, barrier: NDArray[np.int64]) -> None:
            kernels.prompt_pass(worker, threads, barrier, model, tokens, cache.keys, cache.values, work)

        crew().run(enter, threads)
        return work.x

    def _workspace(self, N: int, C: int) -> PromptWorkspace:
        """Buffers that are large enough; those of the pass before, if they are."""
        if self._work is None or len(self._work.x) < N or self._work.scores.shape[2] < C:
            self._work = None  # before the new ones are there
            self._work = self._new_workspace(N, C)
        return self._work

    def _new_workspace(self, N: int, C: int) -> PromptWorkspace:
        config, W = self._config, self._threads
        D, H, K, E, F = config.d_model, config.n_heads, config.kv_heads, config.head_dim, config.ff_width
        dtype = self._model.weights.dtype
        M = products.whole_tiles(N)
        panels = max(products.panels_in_block(terms, dtype.itemsize) for terms in (D, H * E, F))

        def buffer(*shape: int) -> Array:
            return np.zeros(shape, dtype)

        def apart(width: int) -> int:
            """A width that is a little larger, if need be, so that rows lie apart."""
            return next(w for w in itertools.count(width) if products.rows_lie_apart(w * dtype.itemsize))

        return PromptWorkspace(
            taken=np.zeros(1 + kernels.PHASES * config.n_layers, np.int64),
            x=buffer(M, D),
            normed=buffer(M, apart(D)),
            qkv=buffer(M, (H + 2 * K) * E),
            queries=buffer(M, H * E),
            mixed=buffer(M, apart(H * E)),
            up=buffer(M, 2 * F if config.feed_forward == "swiglu" else F),
            hidden=buffer(M, apart(F)),
            panels=buffer(W, panels, products.TERMS, LANES),
            edge=buffer(W, TALL_TILE_ROWS, LANES),
            lse=buffer(W, 1, kernels.QUERIES, H // K),
            scores=buffer(W, H // K, C),
            partial=buffer(W, 1, 1, H, E + 2),
        )


def _edges(length: int, most: int) -> list[int]:
    """Where to cut a length into as few parts as possible, about equal and at most `most` long."""
    parts = -(-length // most)
    return [length * part // parts for part in range(parts + 1)]
