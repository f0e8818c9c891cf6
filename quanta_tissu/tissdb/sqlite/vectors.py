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
        connection.run(
            f"CREATE TABLE {table(index)} "
            "(rid INTEGER PRIMARY KEY, seq INTEGER NOT NULL, vector BLOB NOT NULL) STRICT"
        )
        connection.run(f"CREATE INDEX {table(index)}_seq ON {table(index)} (seq)")
        connection.run(
            f"CREATE TABLE {table(index)}_gone (seq INTEGER NOT NULL, rid INTEGER NOT NULL, "
            "PRIMARY KEY (seq, rid)) STRICT, WITHOUT ROWID"
        )

    def drop(self, connection: Connection, index: Index) -> None:
        """As `VectorEngine`."""
        connection.run(f"DROP TABLE {table(index)}")
        connection.run(f"DROP TABLE {table(index)}_gone")

    def store(
        self, connection: Connection, index: Index, seq: int, rows: Sequence[tuple[int, NDArray[np.float32]]]
    ) -> None:
        """As `VectorEngine`."""
        connection.run_many(
            f"INSERT OR REPLACE INTO {table(index)} (rid, seq, vector) VALUES (?, ?, ?)",
            ((rid, seq, vector.astype("<f4", copy=False).tobytes()) for rid, vector in rows),
        )

    def delete(self, connection: Connection, index: Index, seq: int, rids: Sequence[int]) -> None:
        """As `VectorEngine`."""
        connection.run_many(f"DELETE FROM {table(index)} WHERE rid = ?", ((rid,) for rid in rids))
        connection.run_many(
            f"INSERT INTO {table(index)}_gone (seq, rid) VALUES (?, ?)", ((seq, rid) for rid in rids)
        )

    def changed(
        self, connection: Connection, index: Index, since: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """As `VectorEngine`."""
        gone = (
            connection.rows(f"SELECT rid FROM {table(index)}_gone WHERE seq > ?", (since,)) if since >= 0 else []
        )
        rows = connection.rows(f"SELECT rid, vector FROM {table(index)} WHERE seq > ? ORDER BY rid", (since,))
        vectors = np.frombuffer(b"".join(vector for _, vector in rows), "<f4")
        return (
            np.array([rid for (rid,) in gone], np.int64),
            np.array([rid for rid, _ in rows], np.int64),
            vectors.reshape(len(rows), -1 if rows else index.options["dimension"]),
        )

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
