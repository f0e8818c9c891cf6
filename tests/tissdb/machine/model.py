"""What a database does, said in dicts: every call either changes the model or raises what the database must raise.

Nothing here knows of SQL, threads or indexes: uniqueness, order, expiry and the log follow from the documents.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from quanta_tissu.errors import ConflictError, DatabaseError, InvalidDocumentError, NotFoundError, UniqueError
from quanta_tissu.tissdb.documents import Document
from quanta_tissu.tissdb.merge import merge_patch
from quanta_tissu.tissdb.values import text_of

WEEK = 7 * 24 * 3600 * 1_000_000

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}, "title": {"type": "string"}}}
"""The schema of collections that have one; `suits_schema` says the same."""

MOST_INDEXED = 2_000


class RefusedError(Exception):
    """The database must refuse this, with an error of exactly one of these classes."""

    def __init__(self, *kinds: type[DatabaseError]) -> None:
        super().__init__(kinds)
        self.kinds = kinds


@dataclass(frozen=True)
class Stored:
    """A document, its vectors, and the number of its row."""

    rid: int
    id: str
    revision: int
    created: int
    updated: int
    expires: int | None
    value: dict[str, Any]
    vectors: dict[str, Any]

    def lives(self, moment: int) -> bool:
        return self.expires is None or self.expires > moment

    @property
    def document(self) -> Document:
        return Document(self.id, self.revision, self.created, self.updated, self.expires, self.value)


@dataclass
class Held:
    """A collection: its documents are in the order of their rows."""

    settings: dict[str, Any]
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    documents: dict[str, Stored] = field(default_factory=dict)

    def living(self, moment: int) -> list[Stored]:
        return [one for one in self.documents.values() if one.lives(moment)]

    def of_kind(self, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((name, index) for name, index in self.indexes.items() if index["kind"] in kinds)


class Model:
    """A database.

    Attributes:
        collections: By name.
        log: (action, collection, id, ok) of every entry; its length is the number of the last one.
        keys: When each idempotency key was used, what for, and the result.
    """

    def __init__(self) -> None:
        self.collections: dict[str, Held] = {}
        self.log: list[tuple[str, str | None, str | None, bool]] = []
        self.keys: dict[str, tuple[int, str, Any]] = {}

    def copy(self) -> Model:
        other = Model()
        other.collections = {
            name: Held(held.settings, dict(held.indexes), dict(held.documents))
            for name, held in self.collections.items()
        }
        other.log, other.keys = list(self.log), dict(self.keys)
        return other

    def once(self, key: str | None, purpose: str, moment: int, work: Callable[[], Any]) -> Any:
        """Work, or the result that it had under the same key, which is for one purpose."""
        if key is None:
            return work()
        if key not in self.keys:
            self.keys[key] = (moment, purpose, work())
        _, used_for, result = self.keys[key]
        if used_for != purpose:
            raise RefusedError(ConflictError)
        return result

    def find(self, name: str) -> Held:
        if name not in self.collections:
            raise RefusedError(NotFoundError)
        return self.collections[name]

    def note(self, action: str, collection: str | None = None, id: str | None = None, ok: bool = True) -> int:
        self.log.append((action, collection, id, ok))
        return len(self.log)

    # Collections and indexes.

    def create_collection(self, name: str, settings: dict[str, Any]) -> None:
        if name in self.collections:
            if self.collections[name].settings != settings:
                raise RefusedError(ConflictError)
            return
        self.collections[name] = Held(settings)
        self.note("create collection", name)

    def made(self, name: str) -> Held:
        if name not in self.collections:
            self.create_collection(name, {})
        return self.collections[name]

    def alter_collection(self, name: str, wanted: dict[str, Any], moment: int) -> None:
        held = self.find(name)
        settings = {key: value for key, value in (held.settings | wanted).items() if value is not None}
        if settings == held.settings:
            return
        if settings.get("schema") not in (None, held.settings.get("schema")) and not all(
            suits_schema(one.value) for one in held.living(moment)
        ):
            raise RefusedError(InvalidDocumentError)
        held.settings = settings
        self.note("alter collection", name)

    def drop_collection(self, name: str) -> None:
        self.find(name)
        del self.collections[name]
        self.note("drop collection", name)

    def create_index(self, collection: str, name: str, kind: str, moment: int, **options: Any) -> None:
        held = self.made(collection)
        if name in held.indexes:
            raise RefusedError(ConflictError)
        held.indexes[name] = {"kind": kind, **options}
        if kind in ("value", "unique"):
            for stored in held.living(moment):
                _check_size(options["fields"], stored.value)
        if kind == "unique":
            self.expire(collection, moment)
            keys = [key for one in held.documents.values() if (key := unique_key(options["fields"], one.value))]
            if len(keys) != len(set(keys)):
                raise RefusedError(UniqueError)
        self.note("create index", collection)

    def tune_index(self, collection: str, name: str) -> str:
        """So few vectors are searched exactly in any case."""
        held = self.find_index(collection, name)
        if held.indexes[name]["kind"] != "vector":
            raise RefusedError(DatabaseError)
        self.note("tune index", collection)
        return "exact"

    def find_index(self, collection: str, name: str) -> Held:
        held = self.find(collection)
        if name not in held.indexes:
            raise RefusedError(NotFoundError)
        return held

    def drop_index(self, collection: str, name: str) -> None:
        held = self.find_index(collection, name)
        del held.indexes[name]
        for id, stored in held.documents.items():
            kept = {index: vector for index, vector in stored.vectors.items() if index != name}
            held.documents[id] = replace(stored, vectors=kept)
        self.note("drop index", collection)

    # Documents.

    def insert(self, collection: str, news: list[tuple[str, Any, Any, int | None]], moment: int) -> list[Any]:
        """Documents as (id, value, vectors, expires)."""
        held = self.made(collection)
        self.expire(collection, moment)
        written = []
        refused: set[type[DatabaseError]] = set()
        for (
            _,
            value,
            vectors,
            _,
        ) in news:  # each by itself, and before what is there: of several reasons any will do
            for check, given in ((self._check_value, value), (self._checked_vectors, vectors or {})):
                try:
                    check(held, given)
                except RefusedError as error:
                    refused.update(error.kinds)
        if refused:
            raise RefusedError(*refused)
        for id, value, _, expires in news:
            revision = self.note("insert", collection, id)
            if expires is None and "ttl" in held.settings:
                expires = moment + round(held.settings["ttl"] * 1e6)
            kinds: set[type[DatabaseError]] = {ConflictError} if id in held.documents else set()
            if self._clashes(held, None, value):
                kinds.add(UniqueError)
            if kinds:
                raise RefusedError(*kinds)
            held.documents[id] = Stored(revision, id, revision, moment, moment, expires, copy.deepcopy(value), {})
            written.append([id, revision])
        for id, _, vectors, _ in news:
            held.documents[id] = replace(held.documents[id], vectors=self._checked_vectors(held, vectors or {}))
        return written

    def change(
        self,
        collection: str,
        id: str,
        action: str,
        new_value: Callable[[Any], Any],
        moment: int,
        *,
        revision: int | None = None,
        vectors: dict[str, Any] | None = None,
        expires: int | None = None,
    ) -> list[Any]:
        held, stored = self._living(collection, id, revision, moment)
        value = new_value(copy.deepcopy(stored.value))
        self._check_value(held, value)
        if any(held.of_kind("unique")):
            self.expire(collection, moment)
        number = self.note(action, collection, id)
        if self._clashes(held, id, value):
            raise RefusedError(UniqueError)
        given = self._checked_vectors(held, vectors or {})
        held.documents[id] = replace(
            stored,
            revision=number,
            updated=moment,
            expires=stored.expires if expires is None else expires,
            value=copy.deepcopy(value),
            vectors=stored.vectors | given,
        )
        return [id, number]

    def patch(self, collection: str, id: str, changes: dict[str, Any], moment: int, **options: Any) -> list[Any]:
        return self.change(collection, id, "patch", lambda old: merge_patch(old, changes), moment, **options)

    def upsert(
        self, collection: str, id: str, value: Any, moment: int, vectors: Any, expires: int | None
    ) -> list[Any]:
        held = self.made(collection)
        if id in held.documents and held.documents[id].lives(moment):
            return self.change(
                collection, id, "replace", lambda old: value, moment, vectors=vectors, expires=expires
            )
        return list(self.insert(collection, [(id, value, vectors, expires)], moment)[0])

    def delete(self, collection: str, id: str, moment: int, revision: int | None = None) -> list[Any]:
        held, _ = self._living(collection, id, revision, moment)
        del held.documents[id]
        return [id, self.note("delete", collection, id)]

    def expire(self, collection: str, moment: int) -> int:
        held = self.collections[collection]
        gone = [id for id, stored in held.documents.items() if not stored.lives(moment)]
        for id in gone:
            del held.documents[id]
            self.note("expire", collection, id)
        return len(gone)

    def sweep(self, moment: int) -> int:
        self.keys = {key: said for key, said in self.keys.items() if said[0] >= moment - WEEK}
        return sum(self.expire(name, moment) for name in self.collections)

    def _living(self, collection: str, id: str, revision: int | None, moment: int) -> tuple[Held, Stored]:
        held = self.find(collection)
        stored = held.documents.get(id)
        if stored is None or not stored.lives(moment):
            raise RefusedError(NotFoundError)
        if revision not in (None, stored.revision):
            raise RefusedError(ConflictError)
        return held, stored

    def _check_value(self, held: Held, value: Any) -> None:
        if not isinstance(value, dict) or any(key.startswith("_") for key in value):
            raise RefusedError(InvalidDocumentError)
        if "schema" in held.settings and not suits_schema(value):
            raise RefusedError(InvalidDocumentError)
        for _, index in held.of_kind("value", "unique"):
            _check_size(index["fields"], value)

    def _clashes(self, held: Held, id: str | None, value: Any) -> bool:
        """Whether another document than that of an id has the same where it must not."""
        for _, index in held.of_kind("unique"):
            key = unique_key(index["fields"], value)
            if key is not None and any(
                unique_key(index["fields"], other.value) == key
                for other in held.documents.values()
                if other.id != id
            ):
                return True
        return False

    def _checked_vectors(self, held: Held, vectors: dict[str, Any]) -> dict[str, Any]:
        given = dict(held.of_kind("vector"))
        for name in given:
            if name not in vectors:
                continue
            if len(vectors[name]) != given[name]["dimension"]:
                raise RefusedError(InvalidDocumentError)
            if given[name]["metric"] == "cosine" and not any(vectors[name]):
                raise RefusedError(InvalidDocumentError)
        if vectors.keys() - given.keys():
            raise RefusedError(DatabaseError)
        return {name: np.asarray(vector, np.float32) for name, vector in vectors.items()}


def suits_schema(value: dict[str, Any]) -> bool:
    """As `SCHEMA`: for JSON Schema, whole floats are integers."""
    n, title = value.get("n", 0), value.get("title", "")
    whole = isinstance(n, int | float) and not isinstance(n, bool) and n == int(n)
    return whole and isinstance(title, str)


def unique_key(fields: tuple[str, ...], value: dict[str, Any]) -> tuple[Any, ...] | None:
    """What must not be there twice, None if one of the fields is missing or null: such documents never clash."""
    found = [value.get(name) for name in fields]
    if any(one is None for one in found):
        return None
    return tuple(
        ("number", one)
        if isinstance(one, int | float) and not isinstance(one, bool)
        else (type(one).__name__, text_of(one))
        for one in found
    )


def _check_size(fields: tuple[str, ...], value: dict[str, Any]) -> None:
    strings = (value.get(name) for name in fields)
    if sum(len(one.encode()) for one in strings if isinstance(one, str)) > MOST_INDEXED:
        raise RefusedError(InvalidDocumentError)
