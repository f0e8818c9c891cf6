"""Identifiers of documents: given, or UUIDs of version 7, whose order is the order in which they were made."""

from __future__ import annotations

import secrets
import threading
import time
import uuid

from quanta_tissu.errors import InvalidDocumentError

MAX_LENGTH = 512

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A UUID of version 7 (RFC 9562, section 5.7), later in order than all that this process made before.

    48 bits of milliseconds; 12 bits of a millisecond's fractions (method 3 of section 6.2), counted up where the
    clock stands still or goes back; 62 random bits.
    """
    global _last
    ticks = time.time_ns() * 4096 // 1_000_000  # of 1/4096 ms
    with _lock:
        _last = ticks = max(ticks, _last + 1)
    number = (ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=number))


def check_id(id: object) -> str:
    """An id that a caller gave.

    Raises:
        InvalidDocumentError: It is not text, empty, too long, or holds what cannot be stored.
    """
    if not isinstance(id, str):
        raise InvalidDocumentError(
            f"the id {id!r} is a {type(id).__name__}", path="_id", hint="ids are text: str(...)"
        )
    if not 0 < len(id) <= MAX_LENGTH:
        raise InvalidDocumentError(
            f"the id has {len(id):,} characters", path="_id", hint=f"ids have 1 to {MAX_LENGTH} characters"
        )
    if not id.isprintable():
        raise InvalidDocumentError(f"the id {id!r} holds control characters", path="_id", hint="remove them")
    return id
