"""INSERT, UPDATE and DELETE, by the same changes as those of a collection."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Sequence
from typing import Any

from quanta_tissu.errors import InvalidDocumentError
from quanta_tissu.tissdb.definitions import CollectionInfo, Path
from quanta_tissu.tissdb.documents import Changes, Document, NewDocument
from quanta_tissu.tissdb.ids import check_id, new_id
from quanta_tissu.tissdb.paths import path_text
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.parameters import error_at
from quanta_tissu.tissdb.tissql.reference import Environment, evaluate
from quanta_tissu.tissdb.values import Value, decode

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def insert_rows(changes: Changes, insert: ir.Insert, env: Environment, text: str) -> int:
    """Run an INSERT; how many documents it made."""
    documents = []
    for row in insert.rows:
        values = [evaluate(expression, env) for expression in row]
        if insert.paths == ((),):
            [value] = values
            if not isinstance(value, dict):
                raise error_at(
                    text,
                    insert.span,
                    f"a document is an object, not {value!r:.40}",
                    "INSERT INTO notes (title) VALUES (...)",
                )
            fields = dict(value)
        else:
            fields = {str(path[0]): value for path, value in zip(insert.paths, values, strict=True)}
        id, expires = fields.pop("_id", None), fields.pop("_expires", None)
        documents.append(NewDocument(new_id() if id is None else check_id(id), fields, {}, _moment(expires)))
    changes.insert(changes.collection(insert.collection, create=True), documents)
    return len(documents)


def update_rows(
    changes: Changes, info: CollectionInfo, update: ir.Update, rows: Sequence[tuple[Any, ...]], env: Environment
) -> int:
    """Run an UPDATE on documents; how many there are. All right sides see the document as it was."""
    for id, revision, created, updated, expires, text in rows:
        document = Document(id, revision, created, updated, expires, decode(text))
        row = Environment(env.parameters, env.moment, {update.source.alias: document})
        values = [(path, evaluate(expression, row)) for path, expression in update.changes]

        def changed(old: dict[str, Value], values: list[tuple[Path, Value]] = values) -> dict[str, Value]:
            new = copy.deepcopy(old)
            for path, value in values:
                _set(new, path, value)
            return new

        changes.change(info, id, "update", changed)
    return len(rows)


def delete_rows(changes: Changes, info: CollectionInfo, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run a DELETE of documents; how many there are."""
    for row in rows:
        changes.delete(info, row[0])
    return len(rows)


def _set(document: dict[str, Value], path: Path, value: Value) -> None:
    """Put a value at a path; objects on the way to it are made, places in lists must be there.

    Raises:
        InvalidDocumentError: Something else is in the way.
    """
    holder: Any = document
    for place, step in enumerate(path):
        last = place == len(path) - 1
        if isinstance(step, str) and isinstance(holder, dict):
            if last:
                holder[step] = value
            elif holder.get(step) is None:
                holder[step] = {}
        elif isinstance(step, int) and isinstance(holder, list) and step < len(holder):
            if last:
                holder[step] = value
        else:
            where = path_text(path[: place + 1])
            wanted = "object" if isinstance(step, str) else "list that long"
            raise InvalidDocumentError(
                f"{where} cannot be set: {path_text(path[:place])} is no {wanted}",
                path=where,
                hint="set what holds it, as a whole",
            )
        if not last:
            holder = holder[step]


def _moment(expires: Value) -> int | None:
    """In microseconds since 1970."""
    if expires is None:
        return None
    if not isinstance(expires, dt.datetime):
        raise InvalidDocumentError(
            f"_expires = {expires!r} is no moment",
            path="_expires",
            hint="TIMESTAMP '2027-01-01T00:00:00Z', or a parameter",
        )
    return (expires - _EPOCH) // dt.timedelta(microseconds=1)
