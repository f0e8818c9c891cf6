"""What SQLite says in its own way."""

from __future__ import annotations

import json
from collections.abc import Sequence

import apsw

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.sqlite.text import SqliteText
from quanta_tissu.tissdb.sqlite.vectors import SqliteVectors


class SqliteDialect:
    """As `Dialect`."""

    name = "sqlite"
    failure_aborts = False
    text = SqliteText()
    vectors = SqliteVectors()

    def json_parameter(self) -> str:
        """JSONB: parsed once, when it is stored."""
        return "jsonb(?)"

    def json_text(self, expression: str) -> str:
        """As `Dialect`."""
        return f"json({expression})"

    def create_base_tables(self) -> Sequence[str]:
        """As `Dialect`."""
        return (
            "CREATE TABLE _settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
            "CREATE TABLE _collections ("
            "number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, settings TEXT NOT NULL) STRICT",
            "CREATE TABLE _indexes ("
            "number INTEGER PRIMARY KEY, collection INTEGER NOT NULL REFERENCES _collections (number), "
            "name TEXT NOT NULL, definition TEXT NOT NULL, UNIQUE (collection, name)) STRICT",
            "CREATE TABLE _head (only INTEGER PRIMARY KEY CHECK (only = 1), seq INTEGER NOT NULL, "
            "hash BLOB NOT NULL, catalog INTEGER NOT NULL) STRICT",
            "CREATE TABLE _log ("
            "seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, "
            "ok INTEGER NOT NULL, collection TEXT, id TEXT, digest BLOB, detail TEXT, hash BLOB NOT NULL) STRICT",
            "CREATE TRIGGER _log_update BEFORE UPDATE ON _log BEGIN SELECT RAISE(ABORT, 'it only grows'); END",
            "CREATE TRIGGER _log_delete BEFORE DELETE ON _log BEGIN SELECT RAISE(ABORT, 'it only grows'); END",
            "CREATE TABLE _requests (key TEXT PRIMARY KEY, time INTEGER NOT NULL, result TEXT NOT NULL) "
            "STRICT, WITHOUT ROWID",
        )

    def create_documents_table(self, table: str) -> Sequence[str]:
        """As `Dialect`."""
        return (
            f"CREATE TABLE {table} (rid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, rev INTEGER NOT NULL, "
            "created INTEGER NOT NULL, updated INTEGER NOT NULL, expires INTEGER, "
            "doc BLOB NOT NULL CHECK (json_valid(doc, 8))) STRICT",
            f"CREATE INDEX {table}_expires ON {table} (expires) WHERE expires IS NOT NULL",
        )

    def create_value_index(
        self, index: str, table: str, paths: Sequence[Sequence[str | int]], unique: bool
    ) -> str:
        """As `Dialect`; a unique index also holds the kind of each value, or `true` would be equal to 1.

        Another one holds when documents expire, so that finding their rows need not look at the rows.
        """
        columns = [f"json_extract(doc, {path_literal(path)})" for path in paths]
        if unique:
            columns += [
                f"CASE json_type(doc, {path_literal(path)}) WHEN 'integer' THEN 'n' WHEN 'real' THEN 'n' "
                f"WHEN 'text' THEN 's' WHEN 'array' THEN 'a' WHEN 'object' THEN 'o' ELSE 'b' END"
                for path in paths
            ]
        else:
            columns.append("expires")
        return f"CREATE {'UNIQUE ' if unique else ''}INDEX {index} ON {table} ({', '.join(columns)})"

    def has_tables(self, connection: Connection, name: str | None = None) -> bool:
        """As `Dialect`."""
        return bool(
            connection.rows("SELECT 1 FROM sqlite_schema WHERE ? IS NULL OR name = ? LIMIT 1", (name, name))
        )

    def missing_table(self, error: Exception) -> bool:
        """As `Dialect`."""
        return isinstance(error, apsw.SQLError) and "no such table" in str(error)

    def unique_violation(self, error: Exception) -> str | None:
        """As `Dialect`: "index 'i_5'" or "d_1.id"."""
        if isinstance(error, apsw.ConstraintError) and "UNIQUE constraint failed: " in str(error):
            return str(error).split("UNIQUE constraint failed: ", 1)[1].removeprefix("index ").strip("'")
        return None


def path_literal(path: Sequence[str | int]) -> str:
    """A path into a document as SQLite's text literal: '$."a"."b"[0]'."""
    text = "$" + "".join(
        f"[{step}]" if isinstance(step, int) else f".{json.dumps(step, ensure_ascii=False)}" for step in path
    )
    return "'" + text.replace("'", "''") + "'"


SQLITE = SqliteDialect()
