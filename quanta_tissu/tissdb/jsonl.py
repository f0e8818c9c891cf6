"""Documents out and in, a line of JSON for each: the form in which others read them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TextIO

import numpy as np

from quanta_tissu.errors import InvalidDocumentError
from quanta_tissu.tissdb.arguments import LAST_MOMENT
from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.documents import NewDocument
from quanta_tissu.tissdb.ids import check_id, new_id
from quanta_tissu.tissdb.values import Value, decode_json, text_of

_AT_ONCE = 500

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def export_lines(collection: Collection) -> Iterator[str]:
    """Every document as a line: its fields, `_id`, `_expires` if it has one, and `_vectors` (float32, base64)."""
    for document, vectors in collection.scan_with_vectors():
        line: dict[str, Value] = {"_id": document.id} | document.value
        if document.expires is not None:
            line["_expires"] = document.expires
        if vectors:
            line["_vectors"] = {name: vector.astype("<f4").tobytes() for name, vector in vectors.items()}
        yield text_of(line)


def import_lines(
    collection: Collection,
    lines: Iterable[str] | TextIO,
    *,
    key: str | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Insert documents from lines of JSON; lines with nothing in them are skipped.

    Args:
        collection: Where.
        lines: As `export_lines` writes them; `_id`, `_expires` and `_vectors` (or lists of numbers) are optional.
        key: An idempotency key: calling again under it goes on where it was interrupted.
        progress: Called with the number of documents inserted so far.

    Returns:
        How many were inserted.

    Raises:
        InvalidDocumentError: A line is no document; those of the transactions before it are stored.
    """
    documents = (_document(number, line) for number, line in enumerate(lines, 1) if line.strip())
    done = part = 0
    while batch := list(islice(documents, _AT_ONCE)):
        done += len(collection.insert_many(batch, key=None if key is None else f"{key}/{part}"))
        part += 1
        progress(done)
    return done


def new_document(value: Value, *, id: str | None = None) -> NewDocument:
    """A document from a value with `_id`, `_expires` and `_vectors`, all optional, as others send them.

    Args:
        value: An object; `_rev`, `_created` and `_updated`, which a document that was read has, are left out.
        id: Its id, if it is known from elsewhere; otherwise `_id`, or a new one.

    Raises:
        InvalidDocumentError: It is no document.
    """
    if not isinstance(value, dict):
        raise InvalidDocumentError(f"this is no document but a {type(value).__name__}")
    fields = {name: item for name, item in value.items() if name not in ("_rev", "_created", "_updated")}
    own, expires, vectors = fields.pop("_id", None), fields.pop("_expires", None), fields.pop("_vectors", None)
    if id is not None and own not in (None, id):
        raise InvalidDocumentError(f"the document says that its id is {own!r}, not {id!r}", path="_id")
    id = own if id is None else id
    if isinstance(expires, dt.datetime):
        expires = (expires - _EPOCH) // dt.timedelta(microseconds=1)
    whole = isinstance(expires, int) and not isinstance(expires, bool)
    if expires is not None and not (whole and abs(expires) <= LAST_MOMENT):
        raise InvalidDocumentError(
            f"_expires = {expires!r} is no moment", path="_expires", hint="microseconds since 1970, or a $datetime"
        )
    if vectors is not None and not isinstance(vectors, dict):
        raise InvalidDocumentError(
            f"_vectors is a {type(vectors).__name__}", path="_vectors", hint='{"name of the index": [numbers]}'
        )
    text_of(fields)
    given = {name: _vector(name, vector) for name, vector in (vectors or {}).items()}
    return NewDocument(new_id() if id is None else check_id(id), fields, given, expires)


def _document(number: int, line: str) -> NewDocument:
    try:
        return new_document(decode_json(line))
    except InvalidDocumentError as error:
        raise InvalidDocumentError(f"line {number}: {error.message}", path=error.path, hint=error.hint) from None


def _vector(name: str, given: Value) -> Value:
    if not isinstance(given, bytes):
        return given
    if len(given) % 4:
        raise InvalidDocumentError(
            f"the vector for {name!r} has {len(given)} bytes, which are no float32 numbers",
            path=f"_vectors.{name}",
        )
    return np.frombuffer(given, "<f4")
