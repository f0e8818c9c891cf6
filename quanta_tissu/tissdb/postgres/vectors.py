"""Vectors in PostgreSQL: a table of pgvector's type."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
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

OLDEST = (0, 8, 4)
"""Pgvector before this could overflow a buffer and damage indexes."""

_EXTENSION_LOCK = 0x7E4E_D8EC
"""Two databases on one server that need the extension for the first time make it once."""

_PAGE = 8192
"""Vectors that are read at once."""

_LAST_ROW = 2**63 - 1

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


class PostgresVectors:
    """As `VectorEngine`."""

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
            ((rid, seq, _as_stored(vector)) for rid, vector in rows),
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
            f"CREATE TABLE IF NOT EXISTS {table(index)}_areas (name text PRIMARY KEY, part bytea NOT NULL)"
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


def as_sent(vector: NDArray[np.float32]) -> VectorBytes:
    """A vector as pgvector receives it."""
    return VectorBytes(struct.pack(">HH", len(vector), 0) + vector.astype(">f4").tobytes())


def _as_stored(row: NDArray[Any]) -> bytes:
    """A stored vector, for a column of pgvector's type or of bytes."""
    return to_bytes(row) if row.dtype == np.uint8 else as_sent(row)


def _as_read(vectors: Sequence[bytes], index: Index) -> NDArray[Any]:
    """Stored vectors as they were sent."""
    storage, dimension = storage_of(index), index.options["dimension"]
    if storage != "float32":
        return from_bytes(vectors, storage, dimension)
    numbers = np.frombuffer(b"".join(vectors), ">f4").reshape(len(vectors), dimension + 1)
    return numbers[:, 1:].astype(np.float32)  # the first four bytes are no number


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
