"""A collection of documents: what users read and write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import DatabaseError, InvalidDocumentError, NotFoundError
from quanta_tissu.tissdb import catalog as catalogs
from quanta_tissu.tissdb.arguments import Expiry, as_new, moment_of
from quanta_tissu.tissdb.audit import read_head
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Catalog, CollectionInfo, Index, IndexKind
from quanta_tissu.tissdb.documents import Changes, Document, NewDocument, Vectors, Written, now
from quanta_tissu.tissdb.finding import Hit, Reranker, find
from quanta_tissu.tissdb.ids import check_id, new_id
from quanta_tissu.tissdb.indexes import KINDS, check_indexable, keeper_of
from quanta_tissu.tissdb.merge import merge_patch
from quanta_tissu.tissdb.paths import parse_path
from quanta_tissu.tissdb.reading import read_document, read_page, read_page_with_vectors, rows_in_pages
from quanta_tissu.tissdb.scope import Scope, time_limit
from quanta_tissu.tissdb.search.areas import Division
from quanta_tissu.tissdb.search.hybrid import Fusion, Request
from quanta_tissu.tissdb.search.query import Need
from quanta_tissu.tissdb.search.tuning import Tuning, tune, tuned_options
from quanta_tissu.tissdb.tissql.parameters import Parameters
from quanta_tissu.tissdb.values import Value

__all__ = ["Collection", "Expiry", "Hit"]

T = TypeVar("T")

_BATCH = 500
"""Documents of one transaction in `insert_many`: enough to be fast, few enough that others get their turn."""


class Collection:
    """Documents of one name. It is made by the first write to it.

    Args:
        scope: Where it reads and writes.
        name: Its name.
    """

    def __init__(self, scope: Scope, name: str) -> None:
        self.name = catalogs.check_name(name)
        self._scope = scope

    def insert(
        self,
        value: dict[str, Value],
        *,
        id: str | None = None,
        vectors: Vectors | None = None,
        expires: Expiry = None,
        key: str | None = None,
    ) -> Written:
        """Add a document.

        Args:
            value: Its fields.
            id: Its id; by default a UUID later in order than those before.
            vectors: Vectors by the name of their index.
            expires: When it is to be gone; by default by the collection's `ttl`, or never.
            key: An idempotency key: under the same key it is inserted once, however often this is called; for
                another kind of write or another document it is refused.

        Raises:
            ConflictError: There is a document of this id.
            UniqueError: A value must be unique and is there already.
            InvalidDocumentError: It cannot be stored, or is against the collection's schema.
        """
        new = NewDocument(new_id() if id is None else check_id(id), value, vectors or {}, moment_of(expires))
        [written] = self._insert([new], key)
        return written

    def insert_many(
        self, values: Iterable[dict[str, Value] | NewDocument], *, expires: Expiry = None, key: str | None = None
    ) -> list[Written]:
        """Add documents, some hundreds in a transaction: an error keeps what the transactions before it stored.

        Args:
            values: Their fields, of which `_id` is the id and `_vectors` are vectors, or `NewDocument`s.
            expires: As in `insert`.
            key: As in `insert`, for all of them: calling again goes on where it was interrupted.
        """
        moment = moment_of(expires)
        documents = (as_new(value, moment) for value in values)
        written: list[Written] = []
        number = 0
        while batch := list(islice(documents, _BATCH)):
            written += self._insert(batch, None if key is None else f"{key}#{number}")
            number += 1
        return written

    def _insert(self, documents: list[NewDocument], key: str | None) -> list[Written]:
        if key is None:
            return self._scope.insert(self.name, documents)

        def work(changes: Changes) -> list[list[Any]]:
            made = changes.insert(changes.collection(self.name, create=True), documents)
            return [[one.id, one.revision] for one in made]

        return [
            Written(id, revision, created=True)
            for id, revision in self._scope.write(work, key=key, purpose=f"insert {self.name}")
        ]

    def get(self, id: str) -> Document | None:
        """The document of an id, None if there is none."""
        return self._scope.read(partial(read_document, self._scope, self.name, id))

    def __getitem__(self, id: str) -> Document:
        document = self.get(id)
        if document is None:
            raise NotFoundError(f"there is no document {id!r} in {self.name!r}")
        return document

    def __contains__(self, id: str) -> bool:
        return self.get(id) is not None

    def replace(
        self,
        id: str,
        value: dict[str, Value],
        *,
        revision: int | None = None,
        vectors: Vectors | None = None,
        expires: Expiry = None,
        key: str | None = None,
    ) -> Written:
        """Give a document other fields.

        Args:
            id: Its id.
            value: All its new fields.
            revision: The revision that the caller has seen: if it is another by now, nothing happens.
            vectors: New vectors; those that are not named stay.
            expires: When it is to be gone from now on; by default as before.
            key: As in `insert`.

        Raises:
            NotFoundError: There is none.
            ConflictError: It has another revision.
            UniqueError: A value must be unique and is there already.
            InvalidDocumentError: The fields cannot be stored, or are against the collection's schema.
        """
        return self._change(id, "replace", lambda old: value, revision, vectors, expires, key)

    def patch(
        self,
        id: str,
        changes: dict[str, Value],
        *,
        revision: int | None = None,
        vectors: Vectors | None = None,
        expires: Expiry = None,
        key: str | None = None,
    ) -> Written:
        """Change some fields, by the rules of JSON Merge Patch (RFC 7396): None removes a field.

        Args:
            id: The document's id.
            changes: Fields to change; objects in them change the fields of objects.
            revision: As in `replace`.
            vectors: As in `replace`.
            expires: As in `replace`.
            key: As in `insert`.

        Raises:
            NotFoundError: As in `replace`, and all its other errors.
        """
        if not isinstance(changes, dict):
            raise InvalidDocumentError(f"a patch is a dict of fields, not {type(changes).__name__}")
        return self._change(id, "patch", lambda old: merge_patch(old, changes), revision, vectors, expires, key)

    def _change(
        self,
        id: str,
        action: str,
        new_value: Callable[[dict[str, Value]], Value],
        revision: int | None,
        vectors: Vectors | None,
        expires: Expiry,
        key: str | None,
    ) -> Written:
        moment = moment_of(expires)

        def work(changes: Changes) -> list[Any]:
            made = changes.change(
                changes.collection(self.name),
                id,
                action,
                new_value,
                revision=revision,
                vectors=vectors,
                expires=moment,
            )
            return [made.id, made.revision]

        return self._write_once(work, key, f"{action} {self.name} {id}")

    def upsert(
        self,
        id: str,
        value: dict[str, Value],
        *,
        vectors: Vectors | None = None,
        expires: Expiry = None,
        key: str | None = None,
    ) -> Written:
        """Insert a document, or replace the one that is there; `created` of the result says which.

        Args:
            id: Its id.
            value: All its fields.
            vectors: As in `replace`.
            expires: As in `replace`.
            key: As in `insert`.

        Raises:
            UniqueError: A value must be unique and is there already.
            InvalidDocumentError: The fields cannot be stored, or are against the collection's schema.
        """
        check_id(id)
        moment = moment_of(expires)

        def work(changes: Changes) -> list[Any]:
            info = changes.collection(self.name, create=True)
            if changes.exists(info, id):
                made = changes.change(info, id, "replace", lambda old: value, vectors=vectors, expires=moment)
            else:
                [made] = changes.insert(info, [NewDocument(id, value, vectors or {}, moment)])
            return [made.id, made.revision, made.created]

        return self._write_once(work, key, f"upsert {self.name} {id}")

    def delete(self, id: str, *, revision: int | None = None, key: str | None = None) -> Written:
        """Remove a document.

        Raises:
            NotFoundError: There is none.
            ConflictError: It has another revision than the one given.
        """

        def work(changes: Changes) -> list[Any]:
            made = changes.delete(changes.collection(self.name), id, revision=revision)
            return [made.id, made.revision]

        return self._write_once(work, key, f"delete {self.name} {id}")

    def _write_once(self, work: Callable[[Changes], list[Any]], key: str | None, purpose: str) -> Written:
        return Written(*self._scope.write(work, key=key, purpose=purpose))

    def count(self, *, timeout: float | None = None) -> int:
        """How many documents there are; `timeout` as in `search`."""

        def work(connection: Connection, catalog: Catalog) -> int:
            info = self._scope.find(connection, catalog, self.name)
            if info is None:
                return 0
            [(count,)] = connection.rows(
                f"SELECT count(*) FROM {info.table} WHERE expires IS NULL OR expires > ?", (now(),)
            )
            return int(count)

        return self._scope.read(work, timeout=time_limit(self._scope, timeout))

    def __len__(self) -> int:
        return self.count()

    def scan(self, *, timeout: float | None = None) -> Iterator[Document]:
        """All documents, in the order in which they were inserted, read a page at a time.

        Documents that are inserted meanwhile come last; open a view of the database to see one moment.
        `timeout` is that of each page, as in `search`.
        """
        after, limit = 0, time_limit(self._scope, timeout)
        while True:
            page, after = self._scope.read(partial(read_page, self._scope, self.name, after), timeout=limit)
            yield from page
            if not after:
                return

    def __iter__(self) -> Iterator[Document]:
        return self.scan()

    def scan_with_vectors(self) -> Iterator[tuple[Document, dict[str, NDArray[np.float32]]]]:
        """As `scan`, with the vectors of each document by the name of their index."""
        after = 0
        while True:
            page, after = self._scope.read(partial(read_page_with_vectors, self._scope, self.name, after))
            yield from page
            if not after:
                return

    def search(
        self,
        text: str | None = None,
        *,
        vector: Any = None,
        k: int = 10,
        text_index: str | None = None,
        vector_index: str | None = None,
        need: Need = "any",
        fusion: Fusion = "weighted",
        weights: tuple[float, float] = (1.0, 1.0),
        where: str | None = None,
        parameters: Parameters = (),
        reranker: Reranker | None = None,
        timeout: float | None = None,
    ) -> list[Hit]:
        """The documents that fit best: by words, by nearness, or by both.

        Args:
            text: Words, `"phrases"`, `beginnings*`, `+required`, `-excluded`.
            vector: A vector; documents whose vectors are near it are found.
            k: How many documents; fewer are returned only if fewer qualify.
            text_index: Which index of words; the only one by default.
            vector_index: Which index of vectors; the only one by default.
            need: Whether `any` of the words is enough, or `all` must occur.
            fusion: How the two lists are joined: `weighted` by scores brought to 0 ... 1, `rrf` by ranks.
            weights: Of words and of nearness.
            where: A condition of TissQL: `price < ? AND tag = 'x'`. Only documents that suit it are looked at, so
                that k are found if k suit it.
            parameters: Of the condition.
            reranker: Gets the text and the best 50 or more hits, and gives each a score, by which they are sorted.
            timeout: Seconds that it may take; by default those that the database was opened with.

        Raises:
            QueryTimeoutError: It took longer.
            NotFoundError: There is no such index.
            QueryError: The text holds no word, or the condition is none.
            InvalidDocumentError: The vector is none of this index.
            DatabaseError: There is nothing to search for, or the reranker does not give scores.
        """
        request = Request(text, vector, k, text_index, vector_index, need, fusion, weights)

        def work(connection: Connection, catalog: Catalog) -> list[Hit]:
            return find(self._scope, connection, catalog, self.name, request, where, parameters, reranker)

        return self._scope.read(work, one_state=True, timeout=time_limit(self._scope, timeout))

    def create_index(
        self,
        name: str,
        *,
        fields: str | Sequence[str] | None = None,
        kind: IndexKind = "value",
        **options: Any,
    ) -> None:
        """Make an index, of the documents that are there and all that come.

        Args:
            name: Its name.
            fields: Paths of the fields that it holds; by default the one of its name. A vector index has none.
            kind: `value` to find and sort by values; `unique` to refuse a second document of the same values, too;
                `text` for words; `vector` for nearness.
            options: By kind. Text: `stemming` (True), `weights` (of the fields). Vector: `dimension`,
                `metric` (cosine, dot, l2), `storage` (float32, int8, bit).

        Raises:
            ConflictError: There is an index of this name.
            UniqueError: Two documents have the same values already.
            DatabaseError: A path or an option is wrong.
        """
        if kind not in KINDS:
            raise DatabaseError(f"kind = {kind!r} is unknown", hint=f"one of {', '.join(KINDS)}")
        if kind == "vector":
            if fields is not None:
                raise DatabaseError("a vector index has no fields", hint="vectors are given beside the document")
            paths = []
        else:
            paths = [parse_path(text) for text in ([fields] if isinstance(fields, str) else fields or [name])]
        if kind in ("value", "unique") and options:
            raise DatabaseError(f"a {kind} index has no options, but was given {', '.join(sorted(options))}")
        keeper_of(Index(0, name, kind, tuple(paths), options)).check(Index(0, name, kind, tuple(paths), options))

        def work(changes: Changes) -> None:
            info = changes.collection(self.name, create=True)
            connection = changes.connection
            index = catalogs.add_index(connection, info, name, kind, paths, options)
            keeper = keeper_of(index)
            if kind in ("value", "unique"):
                for _, values in rows_in_pages(connection, info):
                    for value in values:
                        check_indexable(index, value)
            if kind == "unique":
                changes.expire(info)  # what is over is in nobody's way
            keeper.create(connection, info, index)
            if kind == "text":
                for rids, values in rows_in_pages(connection, info):
                    texts = keeper.prepare(connection.dialect, index, values, ())
                    keeper.insert(connection, index, changes.log.seq, list(zip(rids, texts, strict=True)))
            changes.log_change("create index", info.name, detail=f'{{"index":"{name}"}}')
            changes.catalog_changed()

        self._scope.write(work)

    def tune_index(self, name: str, *, recall: float = 0.95, k: int = 10, queries: Any = None) -> Tuning:
        """Search an index of vectors approximately, if its own vectors show that it is faster and finds enough.

        What is measured is kept with the index. Where it is not reached, or not faster, searches stay exact, and
        the result says why. Vectors that come later are searched exactly beside; after many, tune again.

        Args:
            name: Its name.
            recall: The share of the k nearest that is to be found, with 95 % certainty for queries like these; 1:
                search exactly again.
            k: How many nearest.
            queries: Vectors to look for, some hundreds; by default stored ones.

        Raises:
            NotFoundError: There is no such index.
            DatabaseError: It is none of vectors, or `recall` or `k` cannot be.
            InvalidDocumentError: A query is no vector of this index.
        """

        def measure(connection: Connection, catalog: Catalog) -> tuple[Tuning, Division | None, int]:
            index = self._vector_index(self._scope.find(connection, catalog, self.name), name)
            seq = read_head(connection).seq
            return *tune(connection, index, self._scope.vector_cache(index), seq, recall, k, queries), seq

        tuning, division, seq = self._scope.read(measure, one_state=True)

        def work(changes: Changes) -> None:
            info = changes.collection(self.name)
            index = self._vector_index(info, name)
            if division is not None:
                changes.connection.dialect.vectors.keep(changes.connection, index, division.to_bytes())
            catalogs.change_index(changes.connection, replace(index, options=tuned_options(index, tuning, seq)))
            changes.log_change("tune index", info.name, detail=f'{{"index":"{name}"}}')
            changes.catalog_changed()

        self._scope.write(work)
        return tuning

    def _vector_index(self, info: CollectionInfo | None, name: str) -> Index:
        index = None if info is None else info.indexes.get(name)
        if index is None:
            vectors = [one.name for one in info.indexes.values() if one.kind == "vector"] if info else []
            raise NotFoundError(
                f"collection {self.name!r} has no index {name!r}",
                hint=f"indexes of vectors: {', '.join(vectors) or 'none yet'}",
            )
        if index.kind != "vector":
            raise DatabaseError(f"{name!r} is a {index.kind} index", hint="indexes of vectors are tuned")
        return index

    def drop_index(self, name: str) -> None:
        """Remove an index; the documents stay.

        Raises:
            NotFoundError: There is none of this name.
        """

        def work(changes: Changes) -> None:
            info = changes.collection(self.name)
            index = info.indexes.get(name)
            if index is None:
                known = ", ".join(info.indexes) or "none"
                raise NotFoundError(f"collection {self.name!r} has no index {name!r}", hint=f"indexes: {known}")
            keeper_of(index).drop(changes.connection, index)
            catalogs.remove_index(changes.connection, index)
            changes.log_change("drop index", info.name, detail=f'{{"index":"{name}"}}')
            changes.catalog_changed()

        self._scope.write(work)

    @property
    def indexes(self) -> dict[str, Index]:
        """Its indexes by name."""

        def work(connection: Connection, catalog: Catalog) -> dict[str, Index]:
            info = self._scope.find(connection, catalog, self.name)
            return {} if info is None else dict(info.indexes)

        return self._scope.read(work)
