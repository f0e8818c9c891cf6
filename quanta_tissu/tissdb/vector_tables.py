"""Tables of vectors: what the engines have in common, which is all but types and how bytes are sent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Index

_PAGE = 8192
"""Vectors that are read at once."""

_LAST_ROW = 2**63 - 1


class VectorTables(ABC):
    """As `VectorEngine`.

    Attributes:
        bytes_type: What the engine calls a column of bytes.
    """

    bytes_type: ClassVar[str]

    @abstractmethod
    def create(self, connection: Connection, index: Index) -> None:
        """As `VectorEngine`."""

    @abstractmethod
    def as_stored(self, vector: NDArray[Any]) -> bytes:
        """As `VectorEngine`."""

    @abstractmethod
    def as_read(self, vectors: Sequence[bytes], index: Index) -> NDArray[Any]:
        """Vectors from what the engine gives."""

    def drop(self, connection: Connection, index: Index) -> None:
        """As `VectorEngine`."""
        connection.run(f"DROP TABLE {table(index)}")
        connection.run(f"DROP TABLE {table(index)}_gone")
        connection.run(f"DROP TABLE IF EXISTS {table(index)}_areas")

    def store(self, connection: Connection, index: Index, seq: int, rows: Sequence[tuple[int, bytes]]) -> None:
        """As `VectorEngine`."""
        connection.insert(
            f"{table(index)} (rid, seq, vector)",
            "(?, ?, ?)",
            [(rid, seq, stored) for rid, stored in rows],
            "ON CONFLICT (rid) DO UPDATE SET seq = excluded.seq, vector = excluded.vector",
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
            yield np.array([row[1] for row in rows], np.int64), self.as_read([row[2] for row in rows], index)
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
            f"CREATE TABLE IF NOT EXISTS {table(index)}_areas "
            f"(name TEXT PRIMARY KEY, part {self.bytes_type} NOT NULL)"
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
        vectors = self.as_read([vector for _, vector in rows], index)
        return {rid: vector for (rid, _), vector in zip(rows, vectors, strict=True)}


def table(index: Index) -> str:
    """The table of an index."""
    return f"v_{index.number}"
