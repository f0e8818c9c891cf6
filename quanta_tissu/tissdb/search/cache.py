"""Vectors in memory, in step with the database: what exact search runs on.

It is made from the bytes in the database and brought up to date before every search, by what was written and
removed since; so it can be lost or thrown away at any time, and never answers for another state than the reader's.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Index

_GONE = -1

_MOST_GONE = 0.2
"""Share of rows that are gone, above which the rest is copied together."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Vectors at one state of the database.

    Attributes:
        rids: Rows of the documents (n), -1 where a vector is gone.
        vectors: Their vectors (n, dimension).
        squares: Their squared lengths (n).
    """

    rids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    squares: NDArray[np.float32]


class VectorCache:
    """Vectors of one index, in the order in which they came.

    Rows are only ever added, into room that earlier snapshots do not see; what is gone is marked in a copy of the
    row numbers. So a snapshot stays as it is while others read and the cache moves on.

    Args:
        index: Which.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._seq = -1
        self._count = 0
        self._allocate(0)

    def at(self, connection: Connection, seq: int) -> Snapshot:
        """The vectors as a reader sees them.

        Args:
            connection: The reader's, which sees one state throughout.
            seq: The number of the log's last entry in that state.
        """
        with self._lock:
            if seq < self._seq:  # a view of an earlier state, which the cache has left behind
                return VectorCache(self._index).at(connection, seq)
            if seq > self._seq:
                self._catch_up(connection)
                self._seq = seq
            count = self._count
            return Snapshot(self._rids[:count], self._vectors[:count], self._squares[:count])

    def _allocate(self, room: int) -> None:
        self._rids: NDArray[np.int64] = np.empty(room, np.int64)
        self._vectors: NDArray[np.float32] = np.empty((room, self._index.options["dimension"]), np.float32)
        self._squares: NDArray[np.float32] = np.empty(room, np.float32)

    def _catch_up(self, connection: Connection) -> None:
        gone, rids, vectors = connection.dialect.vectors.changed(connection, self._index, self._seq)
        if self._count and (gone.size or rids.size):
            old = np.isin(self._rids[: self._count], np.concatenate([gone, rids]))
            if old.any():
                self._rids = self._rids.copy()
                self._rids[: self._count][old] = _GONE
        dead = int(np.count_nonzero(self._rids[: self._count] == _GONE))
        needed = self._count + len(rids)
        if needed > len(self._rids) or dead > _MOST_GONE * max(self._count, 1):
            self._move(needed - dead)
        new = slice(self._count, self._count + len(rids))
        self._rids[new], self._vectors[new] = rids, vectors
        self._squares[new] = np.einsum("nd,nd->n", vectors, vectors)
        self._count = new.stop

    def _move(self, needed: int) -> None:
        """Copy what is not gone into new arrays, with room for more."""
        alive = np.flatnonzero(self._rids[: self._count] != _GONE)
        rids, vectors, squares = self._rids, self._vectors, self._squares
        self._allocate(needed + needed // 4 if self._count else needed)
        self._count = len(alive)
        for new, old in ((self._rids, rids), (self._vectors, vectors), (self._squares, squares)):
            new[: len(alive)] = old[alive]


def nearest(
    snapshot: Snapshot,
    query: NDArray[np.float32],
    metric: str,
    k: int,
    allowed: NDArray[np.int64] | None = None,
) -> list[tuple[int, float]]:
    """The rows of the k vectors nearest to a query, exactly, nearest first; of equally near ones the oldest.

    Args:
        snapshot: Vectors; for `cosine` of length one, as the query.
        query: (dimension).
        metric: `cosine` and `dot`: the largest products; `l2`: the smallest distance.
        k: How many.
        allowed: Rows among which to look; by default all.

    Returns:
        Rows and scores: the cosine, the product, or minus the distance.
    """
    places = np.flatnonzero(snapshot.rids != _GONE if allowed is None else np.isin(snapshot.rids, allowed))
    if not len(places):
        return []
    # Gathering a vector costs more than multiplying it, unless most are left out.
    few = len(places) < len(snapshot.rids) // 8
    vectors = snapshot.vectors[places] if few else snapshot.vectors
    products = vectors @ query
    scores = products if few else products[places]
    if metric == "l2":
        scores = 2 * scores - snapshot.squares[places]  # |q - x|² = |q|² - this
    if k < len(scores):
        edge = np.partition(scores, len(scores) - k)[len(scores) - k]
        best = np.flatnonzero(scores >= edge)
    else:
        best = np.arange(len(scores))
    rids = snapshot.rids[places[best]]
    order = np.lexsort((rids, -scores[best]))[:k]
    found = scores[best][order].astype(np.float64)
    if metric == "l2":
        found = -np.sqrt(np.maximum(float(query.astype(np.float64) @ query) - found, 0))
    return list(zip(rids[order].tolist(), found.tolist(), strict=True))
