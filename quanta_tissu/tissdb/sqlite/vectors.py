"""Vectors in SQLite: a table of their bytes, float32, little-endian."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Index


class SqliteVectors:
    """As `VectorEngine`."""

    def create(self, connection: Connection, index: Index) -> None:
        """As `VectorEngine`."""
        connection.run(f"CREATE TABLE {table(index)} (rid INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT")

    def drop(self, connection: Connection, index: Index) -> None:
        """As `VectorEngine`."""
        connection.run(f"DROP TABLE {table(index)}")

    def insert(
        self, connection: Connection, index: Index, rows: Sequence[tuple[int, NDArray[np.float32]]]
    ) -> None:
        """As `VectorEngine`."""
        connection.run_many(
            f"INSERT INTO {table(index)} (rid, vector) VALUES (?, ?)",
            ((rid, vector.astype("<f4", copy=False).tobytes()) for rid, vector in rows),
        )

    def delete(self, connection: Connection, index: Index, rids: Sequence[int]) -> None:
        """As `VectorEngine`."""
        connection.run_many(f"DELETE FROM {table(index)} WHERE rid = ?", ((rid,) for rid in rids))

    def rids(self, index: Index) -> str:
        """As `VectorEngine`."""
        return f"SELECT rid FROM {table(index)}"

    def fetch(self, connection: Connection, index: Index, first: int, last: int) -> dict[int, NDArray[np.float32]]:
        """As `VectorEngine`."""
        rows = connection.rows(f"SELECT rid, vector FROM {table(index)} WHERE rid BETWEEN ? AND ?", (first, last))
        return {rid: np.frombuffer(vector, "<f4") for rid, vector in rows}


def table(index: Index) -> str:
    """The table of an index."""
    return f"v_{index.number}"
