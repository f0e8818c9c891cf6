"""Full-text indexes: the words of some fields of every document, found by BM25."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.backend import Connection, Dialect
from quanta_tissu.tissdb.definitions import CollectionInfo, Index, Path
from quanta_tissu.tissdb.values import Value

_OPTIONS = {"stemming", "weights"}


class TextKeeper:
    """As `Keeper`: the engine keeps the words, this gives it the texts."""

    def check(self, index: Index) -> None:
        """As `Keeper`."""
        if not index.paths:
            raise DatabaseError(f"text index {index.name!r} needs fields", hint="fields=['title', 'body']")
        for name in index.options:
            if name not in _OPTIONS:
                raise DatabaseError(
                    f"a text index has no option {name!r}", hint=f"options: {', '.join(sorted(_OPTIONS))}"
                )
        stemming, weights = index.options.get("stemming", True), index.options.get("weights")
        if not isinstance(stemming, bool):
            raise DatabaseError(f"stemming = {stemming!r} is neither True nor False")
        if weights is not None and not _are_weights(weights, len(index.paths)):
            raise DatabaseError(
                f"weights = {weights!r} are no weights of {len(index.paths)} fields",
                hint="a list with a number above 0 for each field, as in weights=[2.0, 1.0]",
            )

    def create(self, connection: Connection, info: CollectionInfo, index: Index) -> None:
        """As `Keeper`."""
        connection.dialect.text.create(connection, index)

    def drop(self, connection: Connection, index: Index) -> None:
        """As `Keeper`."""
        connection.dialect.text.drop(connection, index)

    def prepare(
        self, dialect: Dialect, index: Index, values: Sequence[dict[str, Value]], vectors: Sequence[Any]
    ) -> Sequence[Any]:
        """As `Keeper`: texts of each document."""
        return [[text_at(value, path) for path in index.paths] for value in values]

    def insert(self, connection: Connection, index: Index, seq: int, rows: Sequence[tuple[int, Any]]) -> None:
        """As `Keeper`."""
        connection.dialect.text.insert(connection, index, rows)

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
        """As `Keeper`; nothing if the texts are the same."""
        texts = [text_at(new, path) for path in index.paths]
        if texts != [text_at(old, path) for path in index.paths]:
            connection.dialect.text.delete(connection, index, [rid])
            connection.dialect.text.insert(connection, index, [(rid, texts)])

    def delete(self, connection: Connection, index: Index, seq: int, rids: Sequence[int]) -> None:
        """As `Keeper`."""
        connection.dialect.text.delete(connection, index, rids)


TEXT = TextKeeper()


def _are_weights(weights: Any, count: int) -> bool:
    return (
        isinstance(weights, list | tuple)
        and len(weights) == count
        and all(
            isinstance(one, int | float) and not isinstance(one, bool) and 0 < one < math.inf for one in weights
        )
    )


def text_at(value: Value, path: Path) -> str:
    """All text at a path: of a list or object there, all text in it."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and step < len(value) else None
    return value if isinstance(value, str) else "\n".join(_texts(value))


def _texts(value: Value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
