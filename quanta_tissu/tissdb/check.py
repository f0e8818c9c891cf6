"""Is everything in its place? The engine's own check, and that documents, indexes and log tell the same story."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from quanta_tissu.errors import CorruptionError
from quanta_tissu.tissdb.audit import verify_log
from quanta_tissu.tissdb.backend import Backend, Connection
from quanta_tissu.tissdb.catalog import load
from quanta_tissu.tissdb.definitions import CollectionInfo, Index
from quanta_tissu.tissdb.values import decode, encode

_PAGE = 1000
_EXAMPLES = 3


def problems(backend: Backend, connection: Connection) -> Iterator[str]:
    """What is wrong with a database, found by reading all of it.

    Args:
        backend: Its engine.
        connection: Sees one state of it throughout.
    """
    yield from _readable("the file", lambda: backend.check(connection))
    yield from _readable("log", lambda: _log(connection))
    try:
        collections = load(connection).collections.values()
    except CorruptionError as error:
        yield f"catalog: {error.message}"
        return
    for info in collections:
        yield from _readable(info.name, partial(_documents, connection, info))
        for index in info.indexes.values():
            yield from _readable(f"{info.name}: index {index.name!r}", partial(_index, connection, info, index))


def _readable(what: str, found: Callable[[], Iterable[str]]) -> Iterator[str]:
    """What a check finds, and that it cannot read what is damaged."""
    try:
        yield from found()
    except CorruptionError as error:
        yield f"{what}: {error.message}"


def _log(connection: Connection) -> Iterator[str]:
    problem = verify_log(connection).problem
    if problem is not None:
        yield f"log: {problem}"


def _documents(connection: Connection, info: CollectionInfo) -> Iterator[str]:
    """Every document is what the log says was last written under its revision."""
    after = 0
    text = connection.dialect.json_text("doc")
    while rows := connection.rows(
        f"SELECT rid, d.id, {text}, digest, collection, _log.id FROM {info.table} AS d "
        "LEFT JOIN _log ON seq = rev WHERE rid > ? ORDER BY rid LIMIT ?",
        (after, _PAGE),
    ):
        for _, id, document, digest, collection, logged in rows:
            if (collection, logged) != (info.name, id):
                yield f"{info.name}: document {id!r} has a revision that is not its own"
            elif digest is None or hashlib.sha256(encode(decode(document)).encode()).digest() != bytes(digest):
                yield f"{info.name}: document {id!r} is not what the log says was written"
        after = rows[-1][0]


def _index(connection: Connection, info: CollectionInfo, index: Index) -> Iterator[str]:
    """A text index knows every document, and neither it nor a vector index knows one that is not there."""
    if index.kind not in ("text", "vector"):
        return
    engine = connection.dialect.text if index.kind == "text" else connection.dialect.vectors
    indexed, there = engine.rids(index), f"SELECT rid FROM {info.table}"
    differences = [("knows documents that are gone", f"{indexed} EXCEPT {there}")]
    if index.kind == "text":
        differences.append(("misses documents", f"{there} EXCEPT {indexed}"))
    for what, query in differences:
        rows = connection.rows(f"{query} LIMIT {_EXAMPLES}")
        if rows:
            yield f"{info.name}: index {index.name!r} {what}: rows {', '.join(str(rid) for (rid,) in rows)} ..."
