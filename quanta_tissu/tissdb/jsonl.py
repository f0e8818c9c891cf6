"""Documents out and in, a line of JSON for each: the form in which others read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TextIO

import numpy as np

from quanta_tissu.errors import InvalidDocumentError
from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.documents import NewDocument
from quanta_tissu.tissdb.ids import check_id, new_id
from quanta_tissu.tissdb.values import Value, decode_json, text_of

_AT_ONCE = 500


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


def _document(number: int, line: str) -> NewDocument:
    try:
        value = decode_json(line)
        if not isinstance(value, dict):
            raise InvalidDocumentError(f"this is no document but a {type(value).__name__}")
        for name in ("_rev", "_created", "_updated"):
            value.pop(name, None)
        id, expires = value.pop("_id", None), value.pop("_expires", None)
        vectors = {name: _vector(given) for name, given in value.pop("_vectors", {}).items()}
        text_of(value)
        return NewDocument(new_id() if id is None else check_id(id), value, vectors, expires)
    except InvalidDocumentError as error:
        raise InvalidDocumentError(f"line {number}: {error.message}", path=error.path, hint=error.hint) from None


def _vector(given: Value) -> Value:
    return np.frombuffer(given, "<f4") if isinstance(given, bytes) else given
