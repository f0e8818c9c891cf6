"""Vectors in SQLite: a table of their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.codes import from_bytes, storage_of, to_bytes
from quanta_tissu.tissdb.definitions import Index
from quanta_tissu.tissdb.vector_tables import VectorTables, table


class SqliteVectors(VectorTables):
    """As `VectorEngine`."""

    bytes_type = "BLOB"

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

    def as_stored(self, vector: NDArray[Any]) -> bytes:
        """As `VectorTables`."""
        return to_bytes(vector)

    def as_read(self, vectors: Sequence[bytes], index: Index) -> NDArray[Any]:
        """As `VectorTables`."""
        return from_bytes(vectors, storage_of(index), index.options["dimension"])
