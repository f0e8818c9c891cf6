"""A database copied into another, of any engine, and compared with it afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import ConflictError, CorruptionError
from quanta_tissu.tissdb import catalog as catalogs
from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.database import Database
from quanta_tissu.tissdb.definitions import CollectionInfo, Index
from quanta_tissu.tissdb.documents import Changes, Document, NewDocument, now
from quanta_tissu.tissdb.paths import path_text
from quanta_tissu.tissdb.transaction import View
from quanta_tissu.tissdb.values import text_of

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied, and is the same in both databases.

    Attributes:
        collections: How many collections.
        indexes: How many indexes.
        documents: How many documents.
        vectors: How many vectors.
        digest: SHA-256 of all of it.
    """

    collections: int
    indexes: int
    documents: int
    vectors: int
    digest: str


def copy(source: Database, target: Database, *, progress: Callable[[int], None] = lambda count: None) -> Copied:
    """Copy all collections, as they are at this moment, into another database, and compare.

    Settings, indexes, documents with their ids, times and expiry, and vectors are the same afterwards, to the bit.
    Revisions are not: they are numbers of the target's own log, which has an entry for each document. Results of
    idempotency keys stay behind.

    Args:
        source: Where from; others may write it meanwhile.
        target: Where to: it may have other collections, but none of these.
        progress: Called with the number of documents copied so far.

    Raises:
        ConflictError: The target has a collection of the same name.
        CorruptionError: What has arrived is not what was sent.
        DatabaseError: The target cannot take it; the collections made so far are dropped again.
    """
    made: list[str] = []
    with source.view() as view:
        infos = _collections(view)
        there = sorted({info.name for info in infos} & set(target.collections()))
        if there:
            raise ConflictError(
                f"{target.url} has {', '.join(map(repr, there))} already", hint="drop them there, or name another"
            )
        sent = _Summary()
        try:
            for info in infos:
                made.append(info.name)
                _copy_collection(view, info, target, sent, progress)
            with target.view() as copied:
                arrived = _read(copied, {info.name for info in infos})
        except BaseException:
            for name in set(made) & set(target.collections()):
                target.drop_collection(name)
            raise
    moment = now()
    wanted, found = sent.result(moment), arrived.result(moment)
    if found != wanted:
        raise CorruptionError(
            f"what has arrived in {target.url} is not what was sent: {found} instead of {wanted}",
            hint="does something else write there? Drop the collections and copy again",
        )
    return found


def summary(view: View) -> Copied:
    """What a database holds, so that two can be compared."""
    return _read(view).result(now())


def _read(view: View, only: set[str] | None = None) -> _Summary:
    found = _Summary()
    for info in _collections(view):
        if only is None or info.name in only:
            found.add_collection(info)
            for document, vectors in view[info.name].scan_with_vectors():
                found.add_document(document, vectors)
    return found


class _Summary:
    """Counts and hashes what passes; what expires is kept apart, as it may be gone when it is compared."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._collections = self._indexes = self._documents = self._vectors = 0
        self._expiring: list[tuple[int, int, bytes]] = []

    def add_collection(self, info: CollectionInfo) -> None:
        self._collections += 1
        self._indexes += len(info.indexes)
        indexes = [[index.name, index.kind, index.paths, _options(index)] for index in _in_order(info)]
        self._hash.update(_hashed(json.dumps([info.name, info.settings, indexes], sort_keys=True).encode()))

    def add_document(self, document: Document, vectors: dict[str, NDArray[np.float32]]) -> None:
        parts = [json.dumps([document.id, document.created, document.updated, document.expires]).encode()]
        parts.append(text_of(document.value).encode())
        for name in sorted(vectors):
            parts += name.encode(), vectors[name].astype("<f4").tobytes()
        if document.expires is not None:
            self._expiring.append((document.expires, len(vectors), _hashed(*parts)))
            return
        self._documents += 1
        self._vectors += len(vectors)
        self._hash.update(_hashed(*parts))

    @property
    def documents(self) -> int:
        """How many have passed."""
        return self._documents + len(self._expiring)

    def result(self, moment: int) -> Copied:
        """What there is at a moment."""
        left = [(vectors, digest) for expires, vectors, digest in self._expiring if expires > moment]
        whole = self._hash.copy()
        for _, digest in left:
            whole.update(digest)
        return Copied(
            self._collections,
            self._indexes,
            self._documents + len(left),
            self._vectors + sum(vectors for vectors, _ in left),
            whole.hexdigest(),
        )


def _hashed(*parts: bytes) -> bytes:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.digest()


def _collections(view: View) -> list[CollectionInfo]:
    collections = view.read(lambda connection, catalog: catalog.collections)
    return [collections[name] for name in sorted(collections)]


def _in_order(info: CollectionInfo) -> list[Index]:
    return sorted(info.indexes.values(), key=lambda index: index.number)


def _options(index: Index) -> dict[str, Any]:
    """As they were given: what tuning has measured holds for one database."""
    return {name: value for name, value in index.options.items() if name != "tuned"}


def _copy_collection(
    view: View, info: CollectionInfo, target: Database, sent: _Summary, progress: Callable[[int], None]
) -> None:
    sent.add_collection(info)
    new = target.create_collection(info.name)
    for index in _in_order(info):
        fields = [path_text(path) for path in index.paths]
        new.create_index(index.name, fields=fields or None, kind=index.kind, **_options(index))
    documents = _documents(view[info.name], sent)
    while batch := list(islice(documents, _AT_ONCE)):
        new.insert_many(batch)
        progress(sent.documents)

    def settle(changes: Changes) -> None:
        # Only now: a time to live is no business of documents that were there before, and neither is a schema.
        catalogs.change_settings(changes.connection, changes.collection(info.name), info.settings)
        changes.log_change("change settings", info.name)
        changes.catalog_changed()

    if info.settings:
        target.write(settle)


def _documents(collection: Collection, sent: _Summary) -> Iterator[NewDocument]:
    for document, vectors in collection.scan_with_vectors():
        sent.add_document(document, vectors)
        yield NewDocument(
            document.id, document.value, vectors, document.expires, document.created, document.updated
        )
