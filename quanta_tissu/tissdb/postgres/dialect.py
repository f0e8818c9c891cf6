"""What PostgreSQL says in its own way."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import errors as pg

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.postgres.functions import FUNCTIONS
from quanta_tissu.tissdb.postgres.paths import json_at
from quanta_tissu.tissdb.postgres.text import PostgresText
from quanta_tissu.tissdb.postgres.vectors import PostgresVectors

_TEXT = 'text COLLATE "C"'
"""Compares by code point, whatever the database's own order is."""


class PostgresDialect:
    """As `Dialect`."""

    name = "postgres"
    failure_aborts = True
    text = PostgresText()
    vectors = PostgresVectors()

    def json_parameter(self) -> str:
        """JSONB: parsed once, when it is stored."""
        return "?::jsonb"

    def json_text(self, expression: str) -> str:
        """As `Dialect`."""
        return f"({expression})::text"

    def create_base_tables(self) -> Sequence[str]:
        """As `Dialect`."""
        return (
            f"CREATE TABLE _settings (name {_TEXT} PRIMARY KEY, value {_TEXT} NOT NULL)",
            f"CREATE TABLE _collections (number bigint PRIMARY KEY, name {_TEXT} NOT NULL UNIQUE, "
            f"settings {_TEXT} NOT NULL)",
            "CREATE TABLE _indexes (number bigint PRIMARY KEY, "
            f"collection bigint NOT NULL REFERENCES _collections (number), name {_TEXT} NOT NULL, "
            f"definition {_TEXT} NOT NULL, UNIQUE (collection, name))",
            'CREATE TABLE _head ("only" integer PRIMARY KEY CHECK ("only" = 1), seq bigint NOT NULL, '
            "hash bytea NOT NULL, catalog bigint NOT NULL)",
            f"CREATE TABLE _log (seq bigint PRIMARY KEY, time bigint NOT NULL, actor {_TEXT} NOT NULL, "
            f"action {_TEXT} NOT NULL, ok integer NOT NULL, collection {_TEXT}, id {_TEXT}, digest bytea, "
            f"detail {_TEXT}, hash bytea NOT NULL)",
            "CREATE FUNCTION _log_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RAISE EXCEPTION ''it only grows''; END'",
            "CREATE TRIGGER _log_change BEFORE UPDATE OR DELETE OR TRUNCATE ON _log "
            "FOR EACH STATEMENT EXECUTE FUNCTION _log_only_grows()",
            f"CREATE TABLE _requests (key {_TEXT} PRIMARY KEY, time bigint NOT NULL, result {_TEXT} NOT NULL)",
            *FUNCTIONS,
        )

    def create_documents_table(self, table: str) -> Sequence[str]:
        """As `Dialect`."""
        return (
            f"CREATE TABLE {table} (rid bigint PRIMARY KEY, id {_TEXT} NOT NULL UNIQUE, rev bigint NOT NULL, "
            "created bigint NOT NULL, updated bigint NOT NULL, expires bigint, doc jsonb NOT NULL)",
            f"CREATE INDEX {table}_expires ON {table} (expires) WHERE expires IS NOT NULL",
        )

    def create_value_index(
        self, index: str, table: str, paths: Sequence[Sequence[str | int]], unique: bool
    ) -> str:
        """As `Dialect`: over JSON values as such, which keeps `true` and 1 apart.

        Documents in which a value of a unique index is null or missing are not in it, so they do not count.
        """
        values = [json_at("doc", path) for path in paths]
        columns = ", ".join(f"({value})" for value in values)
        if not unique:
            return f"CREATE INDEX {index} ON {table} ({columns})"
        there = " AND ".join(f"{value} <> 'null'::jsonb" for value in values)
        return f"CREATE UNIQUE INDEX {index} ON {table} ({columns}) WHERE {there}"

    def has_tables(self, connection: Connection, name: str | None = None) -> bool:
        """As `Dialect`: in our schema."""
        return bool(
            connection.rows(
                "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() "
                "AND (?::text IS NULL OR tablename = ?::text) LIMIT 1",
                (name, name),
            )
        )

    def missing_table(self, error: Exception) -> bool:
        """As `Dialect`."""
        return isinstance(error, pg.UndefinedTable)

    def unique_violation(self, error: Exception) -> str | None:
        """As `Dialect`: "i_5" or "d_1_id_key"."""
        return error.diag.constraint_name if isinstance(error, pg.UniqueViolation) else None


POSTGRES = PostgresDialect()
