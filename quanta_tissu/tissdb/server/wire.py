"""Documents, revisions and lines as they travel."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

from quanta_tissu.tissdb.documents import Document, NewDocument
from quanta_tissu.tissdb.log import Entry
from quanta_tissu.tissdb.server.failures import RequestError
from quanta_tissu.tissdb.values import Value, decode_json, plain

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_REVISION = re.compile(r'"(\d{1,18})"')


def json_bytes(value: Any) -> bytes:
    """JSON's own types as text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def document_json(document: Document) -> dict[str, Any]:
    """A document with its id, revision and times, in JSON's own types."""
    out: dict[str, Any] = plain(document.as_dict())
    return out


def row_json(row: dict[str, Value]) -> dict[str, Any]:
    """A row of a result; its columns stay in their order."""
    return {name: plain(value) for name, value in row.items()}


def revive(value: Any) -> Value:
    """A value from JSON's own types, in which tags stand for dates, times and bytes.

    Raises:
        InvalidDocumentError: A tag is wrong.
    """
    return decode_json(json.dumps(value))


def expiry_of(new: NewDocument) -> dt.datetime | None:
    """When a document is to be gone."""
    return None if new.expires is None else _EPOCH + dt.timedelta(microseconds=new.expires)


def change_json(entry: Entry) -> dict[str, Any]:
    """A change, as clients follow them."""
    return {
        "seq": entry.seq,
        "time": entry.time,
        "action": entry.action,
        "collection": entry.collection,
        "id": entry.id,
    }


def entry_json(entry: Entry) -> dict[str, Any]:
    """All that the log says."""
    return change_json(entry) | {
        "actor": entry.actor,
        "ok": entry.ok,
        "digest": None if entry.digest is None else bytes(entry.digest).hex(),
        "detail": None if entry.detail is None else json.loads(entry.detail),
        "hash": bytes(entry.hash).hex(),
    }


def etag(revision: int) -> str:
    """The `ETag` of a revision."""
    return f'"{revision}"'


def revision_of(header: str | None, name: str = "If-Match") -> int | None:
    """The revision that a header asks for, None if there is no header.

    Raises:
        RequestError: It is no revision.
    """
    if header is None:
        return None
    found = _REVISION.fullmatch(header.strip())
    if found is None:
        raise RequestError(400, f"{name}: {header[:80]} is no revision", hint='the ETag of an answer, as in "12"')
    return int(found[1])
