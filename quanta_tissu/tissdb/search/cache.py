"""Vectors in memory, in step with the database: what exact search runs on.

It is made from the bytes in the database and brought up to date before every search, by what was written and
removed since; so it can be lost or thrown away at any time, and never answers for another state than the reader's.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.codes import storage_of
from quanta_tissu.tissdb.definitions import Index
from quanta_tissu.tissdb.search.areas import Areas, Division
from quanta_tissu.tissdb.search.nearest import Snapshot, columns_of

_MOST_GONE = 0.2
"""Share of places that are gone, above which the rest is copied together."""

_NOWHERE = np.empty(0, np.int64)


class VectorCache:
    """Vectors of one index, in the order in which they came.

    They are only ever added, into room that earlier snapshots do not see; the list of places that are gone is made
    anew. So a snapshot stays as it is while others read and the cache moves on.

    Args:
        index: Which.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._storage, self._dimension = storage_of(index), int(index.options["dimension"])
        self._lock = threading.Lock()
        self._seq = -1
        self._clear()

    def _clear(self) -> None:
        self._count, self._last, self._longest = 0, -1, 0.0
        self._rids: NDArray[np.int64] = np.empty(0, np.int64)
        self._gone = _NOWHERE
        self._columns: dict[str, NDArray[Any]] = {}
        self._forget_areas()

    def _forget_areas(self) -> None:
        self._tuned: dict[str, Any] | None = None
        self._areas: Areas | None = None

    def at(self, connection: Connection, seq: int, tuned: dict[str, Any] | None = None) -> Snapshot:
        """The vectors as a reader sees them.

        Args:
            connection: The reader's, which sees one state throughout.
            seq: The number of the log's last entry in that state.
            tuned: What tuning has found for the index: then they come with their areas.
        """
        with self._lock:
            if seq < self._seq:  # a view of an earlier state, which the cache has left behind
                return VectorCache(self._index).at(connection, seq, tuned)
            if seq > self._seq:
                try:
                    self._catch_up(connection)
                except BaseException:  # half of what has changed is no state: begin again
                    self._clear()
                    self._seq = -1
                    raise
                self._seq = seq
            if tuned is not None and tuned != self._tuned and self._count:
                self._divide(connection, tuned)
            return Snapshot(
                self._storage,
                self._dimension,
                self._rids[: self._count],
                self._gone,
                self._longest,
                {name: column[: self._count] for name, column in self._columns.items()},
                None if tuned is None else self._areas,
            )

    def _divide(self, connection: Connection, tuned: dict[str, Any]) -> None:
        engine = connection.dialect.vectors
        division = Division.from_bytes(engine.kept(connection, self._index), self._dimension)
        fresh = engine.rids_since(connection, self._index, tuned["seq"])
        order, starts = division.order(self._rids[: self._count], fresh)
        self._move(order, len(self._rids))
        self._gone = np.flatnonzero(np.isin(order, self._gone))
        self._tuned, self._areas = tuned, Areas(division.centres, starts, tuned["look_at"])

    def _catch_up(self, connection: Connection) -> None:
        engine = connection.dialect.vectors
        gone, count = engine.changes(connection, self._index, self._seq)
        self._forget(gone)
        if count:
            self._make_room(count)
            for rids, rows in engine.changed(connection, self._index, self._seq):
                if self._count and int(rids.min()) <= self._last:  # not all are of new documents
                    self._forget(rids)
                self._add(rids, rows)

    def _forget(self, rids: NDArray[np.int64]) -> None:
        if self._count and len(rids):
            places = np.flatnonzero(np.isin(self._rids[: self._count], rids))
            self._gone = np.union1d(self._gone, places)

    def _add(self, rids: NDArray[np.int64], rows: NDArray[Any]) -> None:
        place = slice(self._count, self._count + len(rids))
        self._rids[place] = rids
        columns = columns_of(rows, self._storage, self._dimension)
        for name, column in columns.items():
            if name not in self._columns:
                self._columns[name] = np.empty((len(self._rids), *column.shape[1:]), column.dtype)
            self._columns[name][place] = column
        self._count = place.stop
        self._last = max(self._last, int(rids.max()))
        self._longest = max(self._longest, float(np.sqrt(columns["squares"].max())))

    def _make_room(self, count: int) -> None:
        """Have room for more: in new arrays, without what is gone, if there is not enough or too much is gone."""
        crowded = len(self._gone) > _MOST_GONE * self._count
        if self._count + count <= len(self._rids) and not crowded:
            return
        left = self._count - len(self._gone)
        room = left + count + (left + count) // 4 if self._count else count
        moved = bool(len(self._gone))
        self._move(np.delete(np.arange(self._count), self._gone) if moved else slice(self._count), room)
        self._count, self._gone = left, _NOWHERE
        if moved:
            self._forget_areas()

    def _move(self, places: NDArray[np.int64] | slice, room: int) -> None:
        """Copy what stands at some places to new arrays; earlier snapshots keep the old ones."""

        def moved(old: NDArray[Any]) -> NDArray[Any]:
            new = np.empty((room, *old.shape[1:]), old.dtype)
            if isinstance(places, slice):
                new[places] = old[places]
            else:
                np.take(old, places, axis=0, out=new[: len(places)], mode="clip")  # without a copy in between
            return new

        self._rids = moved(self._rids)
        for name in self._columns:
            self._columns[name] = moved(self._columns[name])
