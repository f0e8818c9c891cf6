"""What callers say of documents and times, as the writer takes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.documents import NewDocument, now
from quanta_tissu.tissdb.ids import check_id, new_id
from quanta_tissu.tissdb.values import Value

Expiry = dt.datetime | dt.timedelta | None
"""When a document is to be gone: at a time, or after one."""

LAST_MOMENT = 253_402_300_799_999_999
"""The end of the year 9999, in microseconds since 1970."""


def as_new(value: dict[str, Value] | NewDocument, expires: int | None) -> NewDocument:
    """A document of `insert_many`: its fields may be with its id and its vectors."""
    if isinstance(value, NewDocument):
        return value
    if not isinstance(value, Mapping) or not ("_id" in value or "_vectors" in value):
        return NewDocument(new_id(), value, {}, expires)
    rest = dict(value)
    id, vectors = rest.pop("_id", None), rest.pop("_vectors", {})
    return NewDocument(new_id() if id is None else check_id(id), rest, vectors, expires)


def moment_of(expires: Expiry) -> int | None:
    """In microseconds since 1970."""
    if expires is None:
        return None
    if isinstance(expires, dt.timedelta):
        moment = now() + round(expires.total_seconds() * 1e6)
        if moment > LAST_MOMENT:
            raise DatabaseError(
                f"expires = {expires!r} is after the year 9999", hint="leave it out: the document stays then"
            )
        return moment
    if not isinstance(expires, dt.datetime) or expires.tzinfo is None:
        raise DatabaseError(
            f"expires = {expires!r} is no moment", hint="a timedelta from now, or a datetime with a zone"
        )
    return round(expires.timestamp() * 1e6)
