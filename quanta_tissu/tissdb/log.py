"""The log: every change and every refused action, in order, each entry bound to the one before by its hash.

The entry of a change is written in the same transaction as the change, so neither is ever there alone. Its number
is also the revision that the document then has, and the row number of a new document; whoever watches for changes
reads it. What the hash protects: an entry altered, removed or moved breaks the chain. What it cannot protect alone
is the end of the chain, so its head can be kept elsewhere (`Head`) and compared later.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from quanta_tissu.tissdb.backend import Connection, Row

_VERSION = b"tissdb log 1\n"
_NUMBERS, _LENGTH = struct.Struct("<QQ?"), struct.Struct("<I")

EMPTY = bytes(32)
"""What the first entry has for the hash of the one before."""

COLUMNS = "seq, time, actor, action, ok, collection, id, digest, detail, hash"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log.

    Attributes:
        seq: Its number, from 1, without gaps.
        time: When, in microseconds since 1970.
        actor: Who.
        action: What: insert, replace, patch, delete, expire, create collection ...
        ok: Whether it was done; otherwise it was refused.
        collection: In which collection, if in one.
        id: Of which document, if of one.
        digest: SHA-256 of the document's canonical text after it, if there is one.
        detail: More about it, as JSON text.
        hash: SHA-256 of all this and of the hash before.
    """

    seq: int
    time: int
    actor: str
    action: str
    ok: bool
    collection: str | None
    id: str | None
    digest: bytes | None
    detail: str | None
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log: kept outside the database, it reveals a log that was cut or rewritten.

    Attributes:
        seq: Number of the last entry, 0 if there is none.
        hash: Its hash.
    """

    seq: int
    hash: bytes


def entry_hash(
    before: bytes,
    seq: int,
    time: int,
    actor: str,
    action: str,
    ok: bool,
    collection: str | None,
    id: str | None,
    digest: bytes | None,
    detail: str | None,
) -> bytes:
    """SHA-256 of an entry: the hash before, then every field with its length, so that none runs into another."""
    return _chained(before, seq, time, ok, entry_fields(actor, action, collection, id, digest, detail))


def entry_fields(
    actor: str, action: str, collection: str | None, id: str | None, digest: bytes | None, detail: str | None
) -> bytes:
    """What is hashed of an entry besides its place and time, which may be known before these."""
    return _common_fields(actor, action, collection) + _field(id) + _field(digest) + _field(detail)


def _chained(before: bytes, seq: int, time: int, ok: bool, fields: bytes) -> bytes:
    return hashlib.sha256(_VERSION + before + _NUMBERS.pack(seq, time, ok) + fields).digest()


def _field(value: str | bytes | None) -> bytes:
    if value is None:
        return b"\xff\xff\xff\xff"
    data = value.encode() if isinstance(value, str) else value
    return _LENGTH.pack(len(data)) + data


@lru_cache(maxsize=256)
def _common_fields(actor: str, action: str, collection: str | None) -> bytes:
    """Of what one entry after the other has."""
    return _field(actor) + _field(action) + _field(collection)


class Log:
    """The end of the log as the writer extends it inside a transaction.

    Entries are written together at the end of the transaction, in which nobody reads them.

    Args:
        connection: The writer's, in a transaction of its own.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        [(seq, hash, catalog)] = connection.rows("SELECT seq, hash, catalog FROM _head")
        self.seq: int = seq
        self.hash: bytes = hash
        self.catalog: int = catalog
        self._stored = (self.seq, self.catalog)
        self._new: list[Row] = []

    def append(
        self,
        time: int,
        actor: str,
        action: str,
        *,
        ok: bool = True,
        collection: str | None = None,
        id: str | None = None,
        digest: bytes | None = None,
        detail: str | None = None,
    ) -> int:
        """Add an entry.

        Returns:
            Its number.
        """
        seq = self.seq + 1
        hash = entry_hash(self.hash, seq, time, actor, action, ok, collection, id, digest, detail)
        self._new.append((seq, time, actor, action, int(ok), collection, id, digest, detail, hash))
        self.seq, self.hash = seq, hash
        return seq

    def append_inserts(
        self, time: int, actor: str, collection: str, documents: Iterable[tuple[str, bytes, bytes]]
    ) -> None:
        """Add entries of documents that are inserted: id and digest of each, and its `entry_fields`."""
        seq, hash, add = self.seq, self.hash, self._new.append
        for id, digest, fields in documents:
            seq += 1
            hash = _chained(hash, seq, time, True, fields)
            add((seq, time, actor, "insert", 1, collection, id, digest, None, hash))
        self.seq, self.hash = seq, hash

    def mark(self) -> tuple[int, bytes, int]:
        """Where it ends, to come back to."""
        return self.seq, self.hash, self.catalog

    def reset(self, mark: tuple[int, bytes, int]) -> None:
        """Come back to where it ended, and forget the entries since."""
        self.seq, self.hash, self.catalog = mark
        del self._new[self.seq - self._stored[0] :]

    def store_head(self) -> bool:
        """Write its new entries, and where it ends; at the end of the transaction.

        Returns:
            Whether anything was added.
        """
        if (self.seq, self.catalog) == self._stored:
            return False
        self._connection.insert(f"_log ({COLUMNS})", "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", self._new)
        self._connection.run(
            "UPDATE _head SET seq = ?, hash = ?, catalog = ?", (self.seq, self.hash, self.catalog)
        )
        return True


def entries(connection: Connection, after: int = 0, *, limit: int = 1000) -> Iterator[Entry]:
    """Entries with numbers above one, in order, read a page at a time."""
    while page := entries_page(connection, after, limit):
        yield from page
        after = page[-1].seq


def entries_page(connection: Connection, after: int, limit: int = 1000) -> list[Entry]:
    """The first entries with numbers above one, in order."""
    return [
        Entry(seq, time, actor, action, bool(ok), collection, id, digest, detail, hash)
        for seq, time, actor, action, ok, collection, id, digest, detail, hash in connection.rows(
            f"SELECT {COLUMNS} FROM _log WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        )
    ]
