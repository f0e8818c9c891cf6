"""Documents inside a write transaction: what every change does to the table, the log and the indexes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, NamedTuple

from quanta_tissu.errors import (
    ConflictError,
    DatabaseError,
    InvalidDocumentError,
    NotFoundError,
    TissuError,
    UniqueError,
)
from quanta_tissu.tissdb import catalog as catalogs
from quanta_tissu.tissdb.backend import Connection, Row
from quanta_tissu.tissdb.definitions import Catalog, CollectionInfo
from quanta_tissu.tissdb.indexes import check_indexable, keeper_of
from quanta_tissu.tissdb.log import Log, entry_fields
from quanta_tissu.tissdb.paths import at_path, path_text
from quanta_tissu.tissdb.schema import check_schema
from quanta_tissu.tissdb.values import Value, decode, encode

Vectors = Mapping[str, Any]
"""Vectors of a document by the name of their index."""


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read.

    Attributes:
        id: Its id, unique in the collection.
        revision: The number of the change that made it what it is; any later change has a higher one.
        created: When it was inserted, in microseconds since 1970.
        updated: When it was last changed.
        expires: From when on it is gone, if ever.
        value: Its fields.
    """

    id: str
    revision: int
    created: int
    updated: int
    expires: int | None
    value: dict[str, Value]

    @classmethod
    def of_row(cls, row: Row) -> Document:
        """From id, rev, created, updated, expires, and the document's text."""
        id, revision, created, updated, expires, text = row
        return cls(id, revision, created, updated, expires, decode(text))

    def __getitem__(self, name: str) -> Value:
        return self.value[name]

    def as_dict(self) -> dict[str, Value]:
        """Fields, with `_id`, `_rev`, `_created`, `_updated` and, if it has one, `_expires`."""
        out = {"_id": self.id, "_rev": self.revision, "_created": self.created, "_updated": self.updated}
        return out | ({} if self.expires is None else {"_expires": self.expires}) | self.value


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to be inserted.

    Attributes:
        id: Its id.
        value: Its fields.
        vectors: Its vectors by the name of their index.
        expires: When it is to be gone, in microseconds since 1970; by the collection's `ttl` if None.
        created: When it was inserted elsewhere; now if None.
        updated: When it was last changed elsewhere; now if None.
    """

    id: str
    value: dict[str, Value]
    vectors: Vectors = field(default_factory=dict)
    expires: int | None = None
    created: int | None = None
    updated: int | None = None


class Prepared(NamedTuple):
    """A document to be inserted, with all that can be known of it before it is.

    Attributes:
        new: The document.
        text: Its canonical text.
        digest: SHA-256 of that.
        fields: Of its entry in the log (`entry_fields`).
        parts: What each index of its collection needs of it.
    """

    new: NewDocument
    text: str
    digest: bytes
    fields: bytes
    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What a write left.

    Attributes:
        id: The document's id.
        revision: Its revision.
        created: Whether the write inserted it; not if it was there before.
    """

    id: str
    revision: int
    created: bool = False


@dataclass(slots=True)
class Changes:
    """The writer's transaction, and what happens in it.

    Attributes:
        connection: The writer's connection.
        log: The end of the log.
        catalog: Collections and indexes, as the transaction has made them.
        actor: On whose behalf.
        time: The moment at which everything in it happens, in microseconds.
    """

    connection: Connection
    log: Log
    catalog: Catalog
    actor: str
    time: int = field(default_factory=now)

    def collection(self, name: str, *, create: bool = False) -> CollectionInfo:
        """A collection, made on the first write to it.

        Raises:
            NotFoundError: There is none, and `create` does not ask for one.
        """
        if create and name not in self.catalog.collections:
            return self.create_collection(name, {})
        return self.catalog.find(name)

    def create_collection(self, name: str, settings: dict[str, Any]) -> CollectionInfo:
        """Make a collection."""
        info = catalogs.add_collection(self.connection, self.catalog, name, settings)
        self.log_change("create collection", info.name)
        self.catalog_changed()
        return info

    def catalog_changed(self) -> None:
        """Read the catalog again, which this transaction has changed."""
        self.log.catalog += 1
        self.catalog = Catalog(self.log.catalog, catalogs.load(self.connection).collections)

    def log_change(
        self,
        action: str,
        collection: str,
        id: str | None = None,
        text: str | None = None,
        detail: str | None = None,
    ) -> int:
        """Add a change to the log; its number is the revision."""
        digest = None if text is None else _digest(text)
        return self.log.append(
            self.time, self.actor, action, collection=collection, id=id, digest=digest, detail=detail
        )

    def insert(self, info: CollectionInfo, documents: Sequence[NewDocument]) -> list[Written]:
        """Add documents.

        Raises:
            ConflictError: One of the same id is there.
            UniqueError: A value must be unique and is there.
            InvalidDocumentError: It cannot be stored, or is against the schema.
        """
        first = self._insert(info, self._prepared(info, documents))
        return [Written(new.id, revision, created=True) for revision, new in enumerate(documents, first)]

    def insert_lists(self, name: str, lists: Sequence[Sequence[NewDocument]]) -> list[int | TissuError]:
        """As `insert`, of several callers' documents in one collection, which is made if it is not there.

        Returns:
            For each list the revision of its first document, of which those that follow count on; or why it cannot
            be stored, which costs the others nothing.

        Raises:
            ConflictError: One of the same id is there, or comes twice. No list was inserted.
        """
        info = self.catalog.collections.get(name) or CollectionInfo(0, name, {}, {})
        refused: dict[int, TissuError] = {}
        try:
            ready = self._prepared(info, list(chain.from_iterable(lists)))
        except TissuError:
            ready = []
            for number, documents in enumerate(lists):
                try:
                    ready += self._prepared(info, documents)
                except TissuError as error:
                    refused[number] = error
        first = self._insert(self.collection(name, create=True), ready) if ready else 0
        results: list[int | TissuError] = []
        for number, documents in enumerate(lists):
            results.append(refused.get(number, first))
            first += 0 if number in refused else len(documents)
        return results

    def _prepared(self, info: CollectionInfo, documents: Sequence[NewDocument]) -> list[Prepared]:
        """Check documents, and make of them what is stored.

        Raises:
            InvalidDocumentError: One cannot be stored, is against the schema, or an index does not take it.
            DatabaseError: A vector is for an index that is not there.
        """
        texts = [_canonical(new.value) for new in documents]
        schema = info.settings.get("schema")
        if schema is not None:
            for text in texts:
                check_schema(schema, json.loads(text))
        for new in documents:
            if new.vectors:
                _refuse_unknown(info, new.vectors)
        dialect, values = self.connection.dialect, [new.value for new in documents]
        columns = [
            keeper_of(index).prepare(dialect, index, values, [new.vectors.get(index.name) for new in documents])
            for index in info.indexes.values()
        ]
        parts = zip(*columns, strict=True) if columns else repeat(())
        out = []
        for new, text, part in zip(documents, texts, parts, strict=False):
            digest = _digest(text)
            fields = entry_fields(self.actor, "insert", info.name, new.id, digest, None)
            out.append(Prepared(new, text, digest, fields, part))
        return out

    def _insert(self, info: CollectionInfo, documents: Sequence[Prepared]) -> int:
        """Add documents that were prepared for this collection.

        Returns:
            The revision of the first; the others have those that follow.
        """
        self.expire(info)
        connection, time = self.connection, self.time
        first = self.log.seq + 1
        self.log.append_inserts(
            time, self.actor, info.name, ((one.new.id, one.digest, one.fields) for one in documents)
        )
        rows = []
        for rid, (new, text, *_) in enumerate(documents, first):
            expires = self._expiry(info, new.expires)
            created = time if new.created is None else new.created
            updated = time if new.updated is None else new.updated
            rows.append((rid, new.id, rid, created, updated, expires, text))
        try:
            connection.insert(
                f"{info.table} (rid, id, rev, created, updated, expires, doc)",
                f"(?, ?, ?, ?, ?, ?, {connection.dialect.json_parameter()})",
                rows,
            )
        except Exception as error:
            new = documents[connection.failed_row].new
            raise self._explained(error, info, new.id, new.value) from error
        for place, index in enumerate(info.indexes.values()):
            keeper_of(index).insert(
                connection,
                index,
                self.log.seq,
                [(rid, one.parts[place]) for rid, one in enumerate(documents, first)],
            )
        return first

    def change(
        self,
        info: CollectionInfo,
        id: str,
        action: str,
        new_value: Callable[[dict[str, Value]], Value],
        *,
        revision: int | None = None,
        vectors: Vectors | None = None,
        expires: int | None = None,
    ) -> Written:
        """Give a document another value.

        Args:
            info: Its collection.
            id: Its id.
            action: What the log calls it.
            new_value: Makes the new value from the old one.
            revision: The revision that the caller has seen; any by default.
            vectors: New vectors; those that are not named stay. None: all stay.
            expires: When it is to be gone from now on; as before by default.

        Raises:
            NotFoundError: There is none.
            ConflictError: It has another revision.
            UniqueError: A value must be unique and is there.
            InvalidDocumentError: The new value cannot be stored, or is against the schema.
        """
        rid, old = self._find(info, id, revision)
        value = new_value(old)
        text = self._checked(info, value)
        if any(index.kind == "unique" for index in info.indexes.values()):
            self.expire(info)  # what is over is in nobody's way
        number = self.log_change(action, info.name, id, text)
        document = self.connection.dialect.json_parameter()
        try:
            self.connection.run(
                f"UPDATE {info.table} SET rev = ?, updated = ?, expires = coalesce(?, expires), doc = {document} "
                "WHERE rid = ?",
                (number, self.time, expires, text, rid),
            )
        except Exception as error:
            raise self._explained(error, info, id, value) from error
        for index in info.indexes.values():
            keeper_of(index).update(
                self.connection, index, self.log.seq, rid, old, value, (vectors or {}).get(index.name)
            )
        _refuse_unknown(info, vectors or {})
        return Written(id, number)

    def delete(
        self, info: CollectionInfo, id: str, *, revision: int | None = None, action: str = "delete"
    ) -> Written:
        """Remove a document.

        Raises:
            NotFoundError: There is none.
            ConflictError: It has another revision.
        """
        rid, _ = self._find(info, id, revision)
        number = self.log_change(action, info.name, id)
        self._remove(info, [rid])
        return Written(id, number)

    def expire(self, info: CollectionInfo) -> int:
        """Remove the documents whose time is over.

        Returns:
            How many there were.
        """
        rows = self.connection.rows(f"SELECT rid, id FROM {info.table} WHERE expires <= ?", (self.time,))
        if rows:
            for _, id in rows:
                self.log_change("expire", info.name, id)
            self._remove(info, [rid for rid, _ in rows])
        return len(rows)

    def exists(self, info: CollectionInfo, id: str) -> bool:
        """Whether a document is there and has not expired."""
        found = self.connection.row(f"SELECT expires FROM {info.table} WHERE id = ?", (id,))
        return found is not None and (found[0] is None or found[0] > self.time)

    def _find(self, info: CollectionInfo, id: str, revision: int | None) -> tuple[int, dict[str, Value]]:
        text = self.connection.dialect.json_text("doc")
        found = self.connection.row(f"SELECT rid, rev, expires, {text} FROM {info.table} WHERE id = ?", (id,))
        if found is None or (found[2] is not None and found[2] <= self.time):
            raise NotFoundError(f"there is no document {id!r} in {info.name!r}", hint="insert it, or use upsert")
        if revision is not None and found[1] != revision:
            raise ConflictError(
                f"document {id!r} in {info.name!r} was changed meanwhile: "
                f"it is at revision {found[1]}, not {revision}",
                hint="read it again, and repeat the change on what it is now",
            )
        return found[0], decode(found[3])

    def _remove(self, info: CollectionInfo, rids: Sequence[int]) -> None:
        for index in info.indexes.values():
            keeper_of(index).delete(self.connection, index, self.log.seq, rids)
        self.connection.run_many(f"DELETE FROM {info.table} WHERE rid = ?", ((rid,) for rid in rids))

    def _checked(self, info: CollectionInfo, value: Value) -> str:
        text = _canonical(value)
        self._check(info, value, text)
        return text

    def _check(self, info: CollectionInfo, value: Value, text: str) -> None:
        """Refuse what the collection's schema or its indexes do not take."""
        schema = info.settings.get("schema")
        if schema is not None:
            check_schema(schema, json.loads(text))
        for index in info.indexes.values():
            if index.kind in ("value", "unique"):
                check_indexable(index, value)

    def _expiry(self, info: CollectionInfo, expires: int | None) -> int | None:
        ttl: float | None = info.settings.get("ttl")
        if expires is None and ttl is not None:
            return self.time + round(ttl * 1e6)
        return expires

    def _explained(self, error: Exception, info: CollectionInfo, id: str, value: Value) -> Exception:
        """What an engine's error says about a document, in our words; the same error if it says nothing."""
        refused = self.connection.dialect.unique_violation(error)
        if refused is None:
            return error
        for index in info.indexes.values():
            if refused == f"i_{index.number}":
                said = ", ".join(f"{path_text(path)} = {at_path(value, path)!r}" for path in index.paths)
                return UniqueError(f"another document in {info.name!r} has {said}, which must be unique")
        return ConflictError(
            f"there is a document {id!r} in {info.name!r} already",
            hint="use replace or upsert, or give it another id",
        )


RESERVED = frozenset({"_id", "_rev", "_created", "_updated", "_expires", "_vectors", "_score"})
"""Names of fields that documents cannot have."""


def _canonical(value: dict[str, Value]) -> str:
    text = encode(value)
    if not RESERVED.isdisjoint(value):
        name = min(RESERVED.intersection(value))
        raise InvalidDocumentError(
            f"the field {name!r} is kept by the database itself", path=name, hint="leave it out, or rename it"
        )
    return text


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _refuse_unknown(info: CollectionInfo, vectors: Vectors) -> None:
    for name in vectors:
        index = info.indexes.get(name)
        if index is None or index.kind != "vector":
            raise DatabaseError(
                f"collection {info.name!r} has no vector index {name!r}",
                hint=f"create_index({name!r}, kind='vector', dimension=...)",
            )
