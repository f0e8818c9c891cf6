"""Full text in SQLite: FTS5 without copies of the texts, which stand in the documents."""

from __future__ import annotations

from collections.abc import Sequence

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Index


class SqliteText:
    """As `TextEngine`."""

    def create(self, connection: Connection, index: Index) -> None:
        """As `TextEngine`."""
        columns = ", ".join(f"c{place}" for place in range(len(index.paths)))
        words = "unicode61 remove_diacritics 2"
        tokenizer = f"porter {words}" if index.options.get("stemming", True) else words
        connection.run(
            f"CREATE VIRTUAL TABLE {table(index)} USING fts5"
            f"({columns}, content='', contentless_delete=1, tokenize='{tokenizer}')"
        )

    def drop(self, connection: Connection, index: Index) -> None:
        """As `TextEngine`."""
        connection.run(f"DROP TABLE {table(index)}")

    def insert(self, connection: Connection, index: Index, rows: Sequence[tuple[int, Sequence[str]]]) -> None:
        """As `TextEngine`."""
        columns = ", ".join(f"c{place}" for place in range(len(index.paths)))
        marks = ", ?" * len(index.paths)
        connection.run_many(
            f"INSERT INTO {table(index)} (rowid, {columns}) VALUES (?{marks})",
            ((rid, *texts) for rid, texts in rows),
        )

    def delete(self, connection: Connection, index: Index, rids: Sequence[int]) -> None:
        """As `TextEngine`."""
        connection.run_many(f"DELETE FROM {table(index)} WHERE rowid = ?", ((rid,) for rid in rids))

    def rids(self, index: Index) -> str:
        """As `TextEngine`: FTS5 keeps the length of every document."""
        return f"SELECT id FROM {table(index)}_docsize"


def table(index: Index) -> str:
    """The table of an index."""
    return f"t_{index.number}"
