"""Vectors in SQLite: a table of their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.codes import from_bytes, storage_of, to_bytes
from quanta_tissu.tissdb.definitions import Index

_PAGE = 8192
"""Vectors that are read at once."""

_LAST_ROW = 2**63 - 1


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
        connection.run(f"DROP TABLE IF EXISTS {table(index)}_areas")

    def store(
        self, connection: Connection, index: Index, seq: int, rows: Sequence[tuple[int, NDArray[Any]]]
    ) -> None:
        """As `VectorEngine`."""
        connection.run_many(
            f"INSERT INTO {table(index)} (rid, seq, vector) VALUES (?, ?, ?) "
            "ON CONFLICT (rid) DO UPDATE SET seq = excluded.seq, vector = excluded.vector",
            ((rid, seq, to_bytes(vector)) for rid, vector in rows),
        )

    def delete(self, connection: Connection, index: Index, seq: int, rids: Sequence[int]) -> None:
        """As `VectorEngine`."""
        connection.run_many(f"DELETE FROM {table(index)} WHERE rid = ?", ((rid,) for rid in rids))
        connection.run_many(
            f"INSERT INTO {table(index)}_gone (seq, rid) VALUES (?, ?)", ((seq, rid) for rid in rids)
        )

    def changes(self, connection: Connection, index: Index, since: int) -> tuple[NDArray[np.int64], int]:
        """As `VectorEngine`."""
        gone = (
            connection.rows(f"SELECT rid FROM {table(index)}_gone WHERE seq > ?", (since,)) if since >= 0 else []
        )
        [(count,)] = connection.rows(f"SELECT count(*) FROM {table(index)} WHERE seq > ?", (since,))
        return np.array([rid for (rid,) in gone], np.int64), count

    def changed(
        self, connection: Connection, index: Index, since: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """As `VectorEngine`."""
        seq, rid = since, _LAST_ROW
        while rows := connection.rows(
            f"SELECT seq, rid, vector FROM {table(index)} WHERE (seq, rid) > (?, ?) ORDER BY seq, rid LIMIT ?",
            (seq, rid, _PAGE),
        ):
            yield np.array([row[1] for row in rows], np.int64), _as_read([row[2] for row in rows], index)
            seq, rid, _ = rows[-1]
            if len(rows) < _PAGE:
                return

    def rids_since(self, connection: Connection, index: Index, since: int) -> NDArray[np.int64]:
        """As `VectorEngine`."""
        rows = connection.rows(f"SELECT rid FROM {table(index)} WHERE seq > ?", (since,))
        return np.array([rid for (rid,) in rows], np.int64)

    def keep(self, connection: Connection, index: Index, parts: Mapping[str, bytes]) -> None:
        """As `VectorEngine`."""
        connection.run(
            f"CREATE TABLE IF NOT EXISTS {table(index)}_areas (name TEXT PRIMARY KEY, part BLOB NOT NULL) STRICT"
        )
        connection.run(f"DELETE FROM {table(index)}_areas")
        connection.run_many(f"INSERT INTO {table(index)}_areas (name, part) VALUES (?, ?)", parts.items())

    def kept(self, connection: Connection, index: Index) -> dict[str, bytes]:
        """As `VectorEngine`."""
        rows = connection.rows(f"SELECT name, part FROM {table(index)}_areas")
        return {name: bytes(part) for name, part in rows}

    def rids(self, index: Index) -> str:
        """As `VectorEngine`."""
        return f"SELECT rid FROM {table(index)}"

    def fetch(self, connection: Connection, index: Index, first: int, last: int) -> dict[int, NDArray[Any]]:
        """As `VectorEngine`."""
        rows = connection.rows(f"SELECT rid, vector FROM {table(index)} WHERE rid BETWEEN ? AND ?", (first, last))
        vectors = _as_read([vector for _, vector in rows], index)
        return {rid: vector for (rid, _), vector in zip(rows, vectors, strict=True)}


def table(index: Index) -> str:
    """The table of an index."""
    return f"v_{index.number}"


def _as_read(vectors: Sequence[bytes], index: Index) -> NDArray[Any]:
    return from_bytes(vectors, storage_of(index), index.options["dimension"])
