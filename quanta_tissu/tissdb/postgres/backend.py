"""A database in a schema of a PostgreSQL server."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.postgres.connection import PostgresConnection
from quanta_tissu.tissdb.postgres.dialect import POSTGRES

OLDEST = 16
"""Of the server; the tests run on 18."""

DEFAULT_SCHEMA = "tissdb"

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class PostgresBackend:
    """As `Backend`.

    Args:
        url: `postgresql://user:password@host:port/database?schema=tissdb`, and whatever else libpq takes.
        busy_timeout: Seconds to wait for another process's writer.

    Raises:
        DatabaseError: The server is too old or keeps no UTF-8, or the schema's name is none.
        StorageError: The server cannot be reached, or does not let us in.
    """

    dialect = POSTGRES
    frozen = False

    def __init__(self, url: str, *, busy_timeout: float = 10.0) -> None:
        self._conninfo, self.schema = split_url(url)
        self.url = without_password(url)
        self._busy_timeout = busy_timeout
        self._lock = int.from_bytes(hashlib.sha256(f"tissdb {self.schema}".encode()).digest()[:8], signed=True)
        connection = self.connect(write=True)
        try:
            _check_server(connection)
            self._make_schema(connection)
        finally:
            connection.close()

    def connect(self, *, write: bool) -> PostgresConnection:
        """As `Backend`."""
        return PostgresConnection(
            self._conninfo, schema=self.schema, lock=self._lock, write=write, busy_timeout=self._busy_timeout
        )

    def _make_schema(self, connection: PostgresConnection) -> None:
        there = "SELECT 1 FROM pg_namespace WHERE nspname = ?"
        if connection.row(there, (self.schema,)) is not None:
            return
        connection.begin_write()  # two processes that make it at once would trip over each other
        connection.run(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"')
        connection.commit()

    def maintain(self) -> None:
        """Nothing: the server's own vacuum and checkpoints do it."""

    def changed_elsewhere(self, connection: Connection) -> int:
        """As `Backend`."""
        [(number,)] = connection.rows("SELECT seq + catalog FROM _head")
        return int(number)

    def backup(self, target: Path) -> None:
        """Refuse.

        Raises:
            DatabaseError: Always.
        """
        raise DatabaseError(
            "a server is backed up by its own tools", hint="pg_dump; or copy the database to a file: tissdb.copy"
        )

    def upgrade(self, format: int) -> None:
        """As `Backend`: the server keeps its own files."""

    def check(self, connection: Connection) -> list[str]:
        """As `Backend`: indexes that the server marks as broken, and pages whose checksum it found wrong.

        The server reads, and verifies, every page of a document when our own check reads the document.
        """
        broken = connection.rows(
            "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE relnamespace = current_schema()::regnamespace AND NOT indisvalid ORDER BY relname"
        )
        failures = connection.row(
            "SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database()"
        )
        found = [f"the server's index {name} is broken" for (name,) in broken]
        if failures is not None and failures[0]:
            found.append(f"the server has found {failures[0]} damaged pages in this database")
        return found

    def compact(self) -> None:
        """As `Backend`; readers wait, too, a table at a time."""
        connection = self.connect(write=True)
        try:
            for (name,) in connection.rows(
                "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
            ):
                connection.run(f"VACUUM (FULL, ANALYZE) {name}")
        finally:
            connection.close()

    def size(self) -> int:
        """As `Backend`: tables and indexes of this schema."""
        connection = self.connect(write=False)
        try:
            [(size,)] = connection.rows(
                "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class "
                "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
            )
        finally:
            connection.close()
        return int(size)

    def close(self) -> None:
        """As `Backend`: connections share nothing here."""


def split_url(url: str) -> tuple[str, str]:
    """An address for libpq, and the schema.

    Raises:
        DatabaseError: The schema's name is none.
    """
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    schema = dict(options).get("schema", DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_") or schema == "information_schema":
        raise DatabaseError(
            f"{schema!r} is no name for a schema of ours",
            hint="small letters, digits and _, at most 63, not beginning with a digit or pg_",
        )
    rest = urlencode([(name, value) for name, value in options if name != "schema"])
    return urlunsplit(parts._replace(query=rest)), schema


def without_password(url: str) -> str:
    """An address that can be shown."""
    parts = urlsplit(url)
    options = [(name, value) for name, value in parse_qsl(parts.query) if "password" not in name]
    account, at, host = parts.netloc.rpartition("@")
    shown = parts._replace(netloc=account.partition(":")[0] + at + host, query=urlencode(options, safe="/"))
    return urlunsplit(shown)


def _check_server(connection: PostgresConnection) -> None:
    version = connection.raw.info.server_version // 10_000
    if version < OLDEST:
        raise DatabaseError(f"the server is PostgreSQL {version}", hint=f"PostgreSQL {OLDEST} or later is needed")
    [(encoding,)] = connection.rows("SHOW server_encoding")
    if encoding != "UTF8":
        raise DatabaseError(
            f"the server's database holds text as {encoding}", hint="CREATE DATABASE ... ENCODING 'UTF8'"
        )
