"""Kinds of indexes: how each is made, and kept in step with the documents inside their transaction.

Value indexes are the engine's own, over expressions of the document, and need nothing. Text and vector indexes are
tables of ours, and every change of a document changes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from quanta_tissu.errors import InvalidDocumentError, UniqueError
from quanta_tissu.tissdb.backend import Connection, Dialect
from quanta_tissu.tissdb.definitions import CollectionInfo, Index
from quanta_tissu.tissdb.paths import at_path, path_text
from quanta_tissu.tissdb.search.text import TEXT
from quanta_tissu.tissdb.search.vectors import VECTOR
from quanta_tissu.tissdb.values import Value, text_of

MOST_INDEXED = 2_000
"""Bytes of a document's values that a value index holds: PostgreSQL's B-trees take no more, so no engine does."""

_PER_BYTE = 6
"""Bytes that a list or object takes there at most for each byte of its text."""


_LARGE = (list, tuple, dict, bytes)
"""Kinds of values that have no fixed size, besides text."""


def check_indexable(index: Index, value: dict[str, Value]) -> None:
    """Refuse a document whose values are too large for a value index.

    Raises:
        InvalidDocumentError: They are.
    """
    size = 0
    for path in index.paths:
        found = at_path(value, path)
        if isinstance(found, str):
            size += len(found) if found.isascii() else len(found.encode())
        elif isinstance(found, _LARGE):
            size += _PER_BYTE * len(text_of(found).encode())
    if size > MOST_INDEXED:
        said = ", ".join(map(path_text, index.paths))
        raise InvalidDocumentError(
            f"{said} takes {size:,} bytes in index {index.name!r}, which holds up to {MOST_INDEXED:,}",
            path=path_text(index.paths[0]),
            hint="index a shorter field; kind='text' finds words of a long one",
        )


class Keeper(Protocol):
    """Keeps the indexes of one kind."""

    def check(self, index: Index) -> None:
        """Refuse options that it does not know or cannot do.

        Raises:
            DatabaseError: There is one.
        """

    def create(self, connection: Connection, info: CollectionInfo, index: Index) -> None:
        """Make its tables, empty."""

    def drop(self, connection: Connection, index: Index) -> None:
        """Drop its tables."""

    def prepare(
        self, dialect: Dialect, index: Index, values: Sequence[dict[str, Value]], vectors: Sequence[Any]
    ) -> Sequence[Any]:
        """What `insert` needs of documents, which takes no transaction to find out.

        Args:
            dialect: Of the engine.
            index: Which index.
            values: Fields of each document.
            vectors: What was given for this index with each, if it is one of vectors; None where nothing was.

        Raises:
            InvalidDocumentError: The index cannot hold one of them.
        """

    def insert(self, connection: Connection, index: Index, seq: int, rows: Sequence[tuple[int, Any]]) -> None:
        """Documents have been added: their rows, and what `prepare` gave for each.

        `seq` is the number of the last change, here and below.
        """

    def update(
        self,
        connection: Connection,
        index: Index,
        seq: int,
        rid: int,
        old: dict[str, Value],
        new: dict[str, Value],
        vector: Any,
    ) -> None:
        """A document has another value; its vector is another one, or None for the same."""

    def delete(self, connection: Connection, index: Index, seq: int, rids: Sequence[int]) -> None:
        """Documents have been removed."""


class ValueKeeper:
    """As `Keeper`, for indexes that the engine keeps by itself.

    Args:
        unique: No two documents may have the same values.
    """

    def __init__(self, unique: bool) -> None:
        self._unique = unique

    def check(self, index: Index) -> None:
        """As `Keeper`: there are no options."""

    def create(self, connection: Connection, info: CollectionInfo, index: Index) -> None:
        """As `Keeper`; what is in the table already is indexed."""
        dialect = connection.dialect
        try:
            connection.run(dialect.create_value_index(f"i_{index.number}", info.table, index.paths, self._unique))
        except Exception as error:
            if dialect.unique_violation(error) is None:
                raise
            said = ", ".join(map(path_text, index.paths))
            raise UniqueError(
                f"two documents in {info.name!r} have the same {said}",
                hint="change or delete one of them first, or make an index of kind 'value'",
            ) from error

    def drop(self, connection: Connection, index: Index) -> None:
        """As `Keeper`."""
        connection.run(f"DROP INDEX i_{index.number}")

    def prepare(
        self, dialect: Dialect, index: Index, values: Sequence[dict[str, Value]], vectors: Sequence[Any]
    ) -> Sequence[Any]:
        """As `Keeper`: only a check."""
        for value in values:
            check_indexable(index, value)
        return vectors

    def insert(self, connection: Connection, index: Index, seq: int, rows: Sequence[tuple[int, Any]]) -> None:
        """As `Keeper`."""

    def update(
        self,
        connection: Connection,
        index: Index,
        seq: int,
        rid: int,
        old: dict[str, Value],
        new: dict[str, Value],
        vector: Any,
    ) -> None:
        """As `Keeper`."""

    def delete(self, connection: Connection, index: Index, seq: int, rids: Sequence[int]) -> None:
        """As `Keeper`."""


_KEEPERS: dict[str, Keeper] = {
    "value": ValueKeeper(unique=False),
    "unique": ValueKeeper(unique=True),
    "text": TEXT,
    "vector": VECTOR,
}

KINDS = tuple(_KEEPERS)


def keeper_of(index: Index) -> Keeper:
    """What keeps an index."""
    return _KEEPERS[index.kind]
