"""The catalog: the tables that say what collections and indexes a database has."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from quanta_tissu.errors import ConflictError, DatabaseError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Catalog, CollectionInfo, Index, IndexKind, Path

_NAME = re.compile(r"[^\W\d_][\w-]{0,99}")


class Known:
    """The newest catalog that has been seen, for everybody in a process who uses a database.

    Attributes:
        catalog: That.
    """

    def __init__(self) -> None:
        self.catalog = Catalog(-1, {})

    def note(self, catalog: Catalog) -> None:
        """Somebody has seen this one."""
        if catalog.version > self.catalog.version:
            self.catalog = catalog


def load(connection: Connection) -> Catalog:
    """The catalog as it is."""
    [(version,)] = connection.rows("SELECT catalog FROM _head")
    indexes: dict[int, dict[str, Index]] = {}
    for number, collection, name, definition in connection.rows(
        "SELECT number, collection, name, definition FROM _indexes ORDER BY number"
    ):
        said = json.loads(definition)
        paths = tuple(tuple(path) for path in said["paths"])
        indexes.setdefault(collection, {})[name] = Index(number, name, said["kind"], paths, said["options"])
    return Catalog(
        version,
        {
            name: CollectionInfo(number, name, json.loads(settings), indexes.get(number, {}))
            for number, name, settings in connection.rows("SELECT number, name, settings FROM _collections")
        },
    )


def check_name(name: str) -> str:
    """A name for a collection or an index.

    Raises:
        DatabaseError: It is none.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DatabaseError(
            f"{name!r} is no name for a collection or an index",
            hint="a letter, then letters, digits, _ or -, at most 100 in all",
        )
    return name


def add_collection(
    connection: Connection, catalog: Catalog, name: str, settings: dict[str, Any]
) -> CollectionInfo:
    """Make a collection and its table, in the writer's transaction.

    Raises:
        ConflictError: It is there already.
    """
    check_name(name)
    if name in catalog.collections:
        raise ConflictError(
            f"there is a collection {name!r} already, with other settings",
            hint="alter_collection changes them, or `tissu db alter`",
        )
    info = CollectionInfo(_next_number(connection, "_collections"), name, settings, {})
    connection.run(
        "INSERT INTO _collections (number, name, settings) VALUES (?, ?, ?)",
        (info.number, name, json.dumps(settings, sort_keys=True)),
    )
    for statement in connection.dialect.create_documents_table(info.table):
        connection.run(statement)
    return info


def remove_collection(connection: Connection, info: CollectionInfo) -> None:
    """Drop a collection with everything in it, but for its indexes' own tables."""
    connection.run("DELETE FROM _indexes WHERE collection = ?", (info.number,))
    connection.run("DELETE FROM _collections WHERE number = ?", (info.number,))
    connection.run(f"DROP TABLE {info.table}")


def change_settings(connection: Connection, info: CollectionInfo, settings: dict[str, Any]) -> CollectionInfo:
    """Store other settings."""
    connection.run(
        "UPDATE _collections SET settings = ? WHERE number = ?",
        (json.dumps(settings, sort_keys=True), info.number),
    )
    return replace(info, settings=settings)


def add_index(
    connection: Connection,
    info: CollectionInfo,
    name: str,
    kind: IndexKind,
    paths: Sequence[Path],
    options: dict[str, Any],
) -> Index:
    """Note an index; its tables are its kind's business.

    Raises:
        ConflictError: The collection has an index of this name.
    """
    check_name(name)
    if name in info.indexes:
        raise ConflictError(f"collection {info.name!r} has an index {name!r} already", hint="drop it first")
    index = Index(_next_number(connection, "_indexes"), name, kind, tuple(paths), options)
    connection.run(
        "INSERT INTO _indexes (number, collection, name, definition) VALUES (?, ?, ?, ?)",
        (index.number, info.number, name, _definition(index)),
    )
    return index


def change_index(connection: Connection, index: Index) -> None:
    """Store other options of an index."""
    connection.run("UPDATE _indexes SET definition = ? WHERE number = ?", (_definition(index), index.number))


def _definition(index: Index) -> str:
    said = asdict(index)
    return json.dumps({key: said[key] for key in ("kind", "paths", "options")}, sort_keys=True)


def remove_index(connection: Connection, index: Index) -> None:
    """Forget an index; its tables are its kind's business."""
    connection.run("DELETE FROM _indexes WHERE number = ?", (index.number,))


def _next_number(connection: Connection, table: str) -> int:
    """A number that was never used: those of what was dropped do not come back, so nothing old is mistaken."""
    name = f"last{table}"
    row = connection.row("SELECT value FROM _settings WHERE name = ?", (name,))
    number = 1 if row is None else int(row[0]) + 1
    if row is None:
        connection.run("INSERT INTO _settings (name, value) VALUES (?, ?)", (name, str(number)))
    else:
        connection.run("UPDATE _settings SET value = ? WHERE name = ?", (str(number), name))
    return number
