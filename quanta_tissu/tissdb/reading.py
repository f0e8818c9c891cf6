"""Reading documents: one by its id, or all of them in pages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.backend import Connection, Row
from quanta_tissu.tissdb.definitions import Catalog, CollectionInfo
from quanta_tissu.tissdb.documents import Document, now
from quanta_tissu.tissdb.scope import Scope
from quanta_tissu.tissdb.search.vectors import given
from quanta_tissu.tissdb.values import Value, decode

_PAGE = 1000


def read_document(scope: Scope, name: str, id: str, connection: Connection, catalog: Catalog) -> Document | None:
    """The document of an id, None if there is none or its time is over."""
    info = scope.find(connection, catalog, name)
    if info is None:
        return None
    row = connection.row(
        f"SELECT id, rev, created, updated, expires, {connection.dialect.json_text('doc')} "
        f"FROM {info.table} WHERE id = ?",
        (id,),
    )
    if row is None or (row[4] is not None and row[4] <= now()):
        return None
    return Document.of_row(row)


def read_page(
    scope: Scope, name: str, after: int, connection: Connection, catalog: Catalog
) -> tuple[list[Document], int]:
    """Documents of rows after one, and the last of these rows, 0 at the end."""
    info = scope.find(connection, catalog, name)
    rows = [] if info is None else _rows_after(connection, info, after)
    return [Document.of_row(row[1:]) for row in rows], _next_page(rows)


def read_part(
    scope: Scope, name: str, after: int, limit: int, newest: bool, connection: Connection, catalog: Catalog
) -> tuple[list[Document], int]:
    """Some documents to look at, and the row behind which the next ones are, 0 at the end.

    Args:
        scope: Where the collection is.
        name: Its name.
        after: The row behind which they are; 0 for the first.
        limit: How many.
        newest: The last that was inserted comes first.
        connection: Where to read.
        catalog: What is known of it.
    """
    info = scope.find(connection, catalog, name)
    if info is None:
        return [], 0
    if newest:
        bound, behind, order = after or 2**62, "<", "DESC"
    else:
        bound, behind, order = after, ">", "ASC"
    rows = connection.rows(
        f"SELECT rid, id, rev, created, updated, expires, {connection.dialect.json_text('doc')} FROM {info.table} "
        f"WHERE rid {behind} ? AND (expires IS NULL OR expires > ?) ORDER BY rid {order} LIMIT ?",
        (bound, now(), limit + 1),
    )
    documents = [Document.of_row(row[1:]) for row in rows[:limit]]
    return documents, rows[limit - 1][0] if len(rows) > limit else 0


def read_page_with_vectors(
    scope: Scope, name: str, after: int, connection: Connection, catalog: Catalog
) -> tuple[list[tuple[Document, dict[str, NDArray[np.float32]]]], int]:
    """As `read_page`, with the vectors of each document."""
    info = scope.find(connection, catalog, name)
    rows = [] if info is None else _rows_after(connection, info, after)
    if info is None or not rows:
        return [], 0
    engine = connection.dialect.vectors
    indexes = info.of_kind("vector")
    found = {index.name: engine.fetch(connection, index, rows[0][0], rows[-1][0]) for index in indexes}
    page = [
        (
            Document.of_row(row[1:]),
            {one.name: given(one, found[one.name][row[0]]) for one in indexes if row[0] in found[one.name]},
        )
        for row in rows
    ]
    return page, _next_page(rows)


def _rows_after(connection: Connection, info: CollectionInfo, after: int) -> list[Row]:
    return connection.rows(
        f"SELECT rid, id, rev, created, updated, expires, {connection.dialect.json_text('doc')} "
        f"FROM {info.table} WHERE rid > ? AND (expires IS NULL OR expires > ?) ORDER BY rid LIMIT ?",
        (after, now(), _PAGE),
    )


def _next_page(rows: list[Row]) -> int:
    return rows[-1][0] if len(rows) == _PAGE else 0


def rows_in_pages(
    connection: Connection, info: CollectionInfo
) -> Iterator[tuple[list[int], list[dict[str, Value]]]]:
    """Rows and fields of all documents, a page at a time."""
    after = 0
    while rows := connection.rows(
        f"SELECT rid, {connection.dialect.json_text('doc')} FROM {info.table} WHERE rid > ? ORDER BY rid LIMIT ?",
        (after, _PAGE),
    ):
        yield [rid for rid, _ in rows], [decode(text) for _, text in rows]
        after = rows[-1][0]
