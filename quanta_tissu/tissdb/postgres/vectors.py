"""Vectors in PostgreSQL: a table of pgvector's type."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.codes import from_bytes, storage_of, to_bytes
from quanta_tissu.tissdb.definitions import Index
from quanta_tissu.tissdb.vector_tables import VectorTables, table

OLDEST = (0, 8, 4)
"""Pgvector before this could overflow a buffer and damage indexes."""

_EXTENSION_LOCK = 0x7E4E_D8EC
"""Two databases on one server that need the extension for the first time make it once."""

_MOST_IN_A_PAGE = 1_900
"""Dimensions up to which a vector fits into a page of 8 KiB beside the rest of its row."""


class VectorBytes(bytes):
    """A vector as pgvector sends and receives it: its dimension, 16 bits of nothing, float32 big-endian."""


class _VectorDumper(Dumper):
    """Sends `VectorBytes` as they are; the type is that of the place where they go."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Any) -> Buffer | None:
        return bytes(obj)


def register_vectors(connection: psycopg.Connection[Any]) -> None:
    """Let a connection send vectors."""
    connection.adapters.register_dumper(VectorBytes, _VectorDumper)


class PostgresVectors(VectorTables):
    """As `VectorEngine`."""

    bytes_type = "bytea"

    def create(self, connection: Connection, index: Index) -> None:
        """As `VectorEngine`; the numbers stand in the row, not beside the table, where reading costs four times.

        Raises:
            DatabaseError: The server has no pgvector, or one that is too old.
        """
        dimension = index.options["dimension"]
        whole = storage_of(index) == "float32"
        kind = f"{_schema(connection)}.vector({dimension})" if whole else "bytea"
        connection.run(
            f"CREATE TABLE {table(index)} (rid bigint PRIMARY KEY, seq bigint NOT NULL, vector {kind} NOT NULL)"
        )
        storage = "PLAIN" if whole and dimension <= _MOST_IN_A_PAGE else "EXTERNAL"
        connection.run(f"ALTER TABLE {table(index)} ALTER COLUMN vector SET STORAGE {storage}")
        connection.run(f"CREATE INDEX {table(index)}_seq ON {table(index)} (seq)")
        connection.run(
            f"CREATE TABLE {table(index)}_gone (seq bigint NOT NULL, rid bigint NOT NULL, PRIMARY KEY (seq, rid))"
        )

    def as_stored(self, vector: NDArray[Any]) -> bytes:
        """As `VectorTables`: for a column of pgvector's type or of bytes."""
        return to_bytes(vector) if vector.dtype == np.uint8 else as_sent(vector)

    def as_read(self, vectors: Sequence[bytes], index: Index) -> NDArray[Any]:
        """As `VectorTables`."""
        storage, dimension = storage_of(index), index.options["dimension"]
        if storage != "float32":
            return from_bytes(vectors, storage, dimension)
        numbers = np.frombuffer(b"".join(vectors), ">f4").reshape(len(vectors), dimension + 1)
        return numbers[:, 1:].astype(np.float32)  # the first four bytes are no number


def as_sent(vector: NDArray[np.float32]) -> VectorBytes:
    """A vector as pgvector receives it."""
    return VectorBytes(struct.pack(">HH", len(vector), 0) + vector.astype(">f4").tobytes())


def _schema(connection: Connection) -> str:
    """The schema in which the server has pgvector, which is made if it is not there.

    It never goes into ours: all databases of the server share it, and it must not go when one of them does.
    """
    found = connection.row(_FIND)
    if found is None:
        if connection.row(_AVAILABLE) is None:
            raise DatabaseError(
                "the server has no pgvector, which vector indexes need",
                hint=f"install pgvector {'.'.join(map(str, OLDEST))} or later on the server",
            )
        connection.rows("SELECT pg_advisory_xact_lock(?)", (_EXTENSION_LOCK,))
        connection.run("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public")
        found = connection.row(_FIND)
        if found is None:
            raise AssertionError("unreachable: the extension was just made")
    schema, version = found
    if tuple(int(part) for part in version.split(".")) < OLDEST:
        raise DatabaseError(
            f"the server has pgvector {version}, which can damage indexes",
            hint=f"bring it to {'.'.join(map(str, OLDEST))} or later, then: ALTER EXTENSION vector UPDATE",
        )
    return str(schema)


_FIND = (
    "SELECT quote_ident(nspname), extversion FROM pg_extension "
    "JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'"
)

_AVAILABLE = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
