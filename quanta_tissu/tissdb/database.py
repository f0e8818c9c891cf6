"""A database: collections, transactions, and views of one moment."""

from __future__ import annotations

import copy
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from quanta_tissu.errors import DatabaseError, StorageError, TissuError
from quanta_tissu.tissdb import catalog as catalogs
from quanta_tissu.tissdb.audit import AuditReport, append_anchor, read_anchors, read_head, verify_log
from quanta_tissu.tissdb.backend import Backend, Connection
from quanta_tissu.tissdb.backup import backup, require_file
from quanta_tissu.tissdb.check import problems
from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.definitions import Catalog, CollectionInfo, Index
from quanta_tissu.tissdb.documents import Changes, NewDocument, Written
from quanta_tissu.tissdb.feed import watch
from quanta_tissu.tissdb.format import set_up
from quanta_tissu.tissdb.indexes import keeper_of
from quanta_tissu.tissdb.log import Entry, Head, Log, entries_page
from quanta_tissu.tissdb.scope import limited
from quanta_tissu.tissdb.search.cache import VectorCache
from quanta_tissu.tissdb.settings import UNSET, Unset, alter, settings_of
from quanta_tissu.tissdb.tissql.run import Queries
from quanta_tissu.tissdb.transaction import Transaction, View, run_once, transaction
from quanta_tissu.tissdb.writer import Refused, Writer

T = TypeVar("T")

_KEYS_LIVE = 7 * 24 * 3600 * 1_000_000
"""Microseconds for which the result of an idempotency key is kept at least."""


class Database(Queries):
    """One database, used by any number of threads.

    Args:
        backend: The engine.
        actor: On whose behalf changes are made, for the log.
        timeout: As `Scope`.
    """

    def __init__(self, backend: Backend, *, actor: str = "local", timeout: float | None = None) -> None:
        self.timeout = timeout
        self._backend = backend
        self._actor = actor
        self._process = os.getpid()
        self._idle: deque[Connection] = deque()
        self._committed = threading.Condition()
        self._known = catalogs.Known()
        self._vectors: dict[int, VectorCache] = {}
        try:
            set_up(backend)
            self._writer = Writer(backend, self._note_commit)
            self._note_catalog(self.read_connection(catalogs.load))
        except BaseException:
            self.close()
            raise

    def collection(self, name: str) -> Collection:
        """A collection; the first write to it makes it."""
        return Collection(self, name)

    def __getitem__(self, name: str) -> Collection:
        return self.collection(name)

    def collections(self) -> list[str]:
        """Names of all collections."""
        return sorted(self._fresh_catalog().collections)

    def create_collection(
        self, name: str, *, schema: dict[str, Any] | None = None, ttl: float | None = None
    ) -> Collection:
        """Make a collection, or see that it is there as described.

        Args:
            name: Its name.
            schema: JSON Schema (draft 2020-12) of its documents.
            ttl: Seconds that a document lives unless it says otherwise.

        Raises:
            ConflictError: It is there with other settings.
        """
        settings = settings_of(schema, ttl)

        def work(changes: Changes) -> None:
            info = changes.catalog.collections.get(name)
            if info is None or info.settings != settings:
                changes.create_collection(name, settings)

        self.write(work)
        return self.collection(name)

    def alter_collection(
        self, name: str, *, schema: dict[str, Any] | Unset | None = UNSET, ttl: float | Unset | None = UNSET
    ) -> None:
        """Give a collection other settings; those that are not named stay as they are, None removes one.

        Args:
            name: Its name.
            schema: JSON Schema of its documents; those that are there are checked in the same transaction.
            ttl: Seconds that documents live which are inserted from now on.

        Raises:
            NotFoundError: There is none of this name.
            InvalidDocumentError: Documents are against the schema; the first ones are named, with paths.
            DatabaseError: The schema or the time is none.
        """
        self.write(lambda changes: alter(changes, name, schema, ttl))

    def drop_collection(self, name: str) -> None:
        """Remove a collection with all its documents and indexes.

        Raises:
            NotFoundError: There is none of this name.
        """

        def work(changes: Changes) -> None:
            info = changes.catalog.find(name)
            for index in info.indexes.values():
                keeper_of(index).drop(changes.connection, index)
            catalogs.remove_collection(changes.connection, info)
            changes.log_change("drop collection", name)
            changes.catalog_changed()

        self.write(work)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Several writes, of any collections, that all happen or none does; reads in it see its own writes.

        No other write of this process or another happens meanwhile, so keep it short.
        """
        with transaction(
            self._writer, self._actor, self._current_catalog, self._note_catalog, self.timeout
        ) as opened:
            yield opened

    @contextmanager
    def view(self) -> Iterator[View]:
        """The database as it is at this moment, whatever is written meanwhile."""
        with self._reading() as connection:
            yield View(connection, catalogs.load(connection), self.vector_cache, self.timeout)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database."""
        connection = self._take()
        try:
            try:
                connection.begin_read()
            except StorageError:
                if not connection.lost:
                    raise
                self._give(connection)
                connection = self._backend.connect(write=False)
                connection.begin_read()
            try:
                yield connection
            finally:
                if not connection.lost:
                    connection.rollback()
        finally:
            self._give(connection)

    def read(
        self, work: Callable[[Connection, Catalog], T], *, one_state: bool = False, timeout: float | None = None
    ) -> T:
        """As `Scope`."""
        if one_state:
            with self._reading() as connection:
                return limited(work, connection, catalogs.load(connection), timeout)
        connection = self._take()
        try:
            return self._read(work, connection, timeout)
        except StorageError:
            if not connection.lost:
                raise
        finally:
            self._give(connection)
        connection = self._backend.connect(write=False)
        try:
            return self._read(work, connection, timeout)
        finally:
            self._give(connection)

    def _read(self, work: Callable[[Connection, Catalog], T], connection: Connection, timeout: float | None) -> T:
        try:
            return limited(work, connection, self._catalog, timeout)
        except Exception as error:
            if not connection.dialect.missing_table(error):
                raise
            # Another process has dropped what the catalog in memory still has.
            self._note_catalog(catalogs.load(connection))
            return limited(work, connection, self._catalog, timeout)

    def vector_cache(self, index: Index) -> VectorCache:
        """As `Scope`."""
        return self._vectors.setdefault(index.number, VectorCache(index))

    def find(self, connection: Connection, catalog: Catalog, name: str) -> CollectionInfo | None:
        """As `Scope`."""
        if name not in catalog.collections:
            catalog = catalogs.load(connection)
            self._note_catalog(catalog)
        return catalog.collections.get(name)

    def read_connection(self, work: Callable[[Connection], T]) -> T:
        """Run work that needs no catalog."""
        return self.read(lambda connection, catalog: work(connection))

    def write(self, work: Callable[[Changes], T], *, key: str | None = None, purpose: str = "") -> T:
        """As `Scope`; many callers' work is committed together."""
        caught: list[Catalog] = []

        def piece(connection: Connection, log: Log) -> T:
            changes = Changes(connection, log, self._current_catalog(connection, log), self._actor)
            caught.clear()  # what a run that was undone has left
            result = run_once(changes, work, key, purpose)
            if changes.catalog is not self._catalog:
                caught.append(changes.catalog)
            return result

        result = self._writer.run(piece)
        for catalog in caught:
            self._note_catalog(catalog)
        return result

    def insert(self, name: str, documents: Sequence[NewDocument]) -> list[Written]:
        """As `Scope`; documents of callers who come together are added as one list."""
        first, catalog = self._writer.run_joint(self._insert_joint, (name, documents), brief=len(documents) == 1)
        self._note_catalog(catalog)
        return [Written(new.id, revision, created=True) for revision, new in enumerate(documents, first)]

    def _insert_joint(
        self, connection: Connection, log: Log, wanted: Sequence[tuple[str, Sequence[NewDocument]]]
    ) -> list[tuple[int, Catalog] | Refused]:
        changes = Changes(connection, log, self._current_catalog(connection, log), self._actor)
        results: list[int | TissuError] = []
        for name, group in groupby(wanted, key=itemgetter(0)):
            results += changes.insert_lists(name, [documents for _, documents in group])
        catalog = changes.catalog
        return [(one, catalog) if isinstance(one, int) else Refused(one) for one in results]

    def as_actor(self, actor: str) -> Database:
        """This database, with changes made on somebody's behalf; it lives as long as this one."""
        other = copy.copy(self)
        other._actor = actor
        return other

    @property
    def actor(self) -> str:
        """On whose behalf changes are made."""
        return self._actor

    @property
    def uuid(self) -> str:
        """Tells it from all other databases."""
        return self.read_connection(
            lambda connection: str(connection.rows("SELECT value FROM _settings WHERE name = 'uuid'")[0][0])
        )

    @property
    def url(self) -> str:
        """How it was named."""
        return self._backend.url

    @property
    def writes_waiting(self) -> int:
        """Writes of this process that wait for the writer, about."""
        return self._writer.waiting

    def size(self) -> int:
        """Bytes on disk."""
        return self._backend.size()

    def log(self, since: int = 0, *, collection: str | None = None) -> Iterator[Entry]:
        """Entries of the log with numbers above one: every change, and every action that was refused.

        Args:
            since: The number of the last entry that was seen.
            collection: Those of one collection; by default all.
        """
        while page := self._entries_after(since):
            for entry in page:
                if collection is None or entry.collection == collection:
                    yield entry
            since = page[-1].seq

    def _entries_after(self, since: int) -> list[Entry]:
        return self.read_connection(partial(entries_page, after=since))

    def watch(
        self,
        since: int | None = None,
        *,
        collection: str | None = None,
        timeout: float | None = None,
        ended: threading.Event | None = None,
    ) -> Iterator[Entry]:
        """Changes as they come, of this process and of others.

        Args:
            since: The number of the last change that was seen; by default only those from now on.
            collection: Those of one collection; by default all.
            timeout: Seconds to wait for the next change before ending; by default for ever.
            ended: Set it to end the watch from another thread.
        """
        if since is None:
            since = self.head().seq
        changes = watch(self._entries_after, self._committed, since, timeout, ended)
        return (entry for entry in changes if entry.ok and collection in (None, entry.collection))

    def log_refusal(self, action: str, *, collection: str | None = None, id: str | None = None, why: str) -> None:
        """Note an action that was refused, in a transaction of its own."""
        detail = json.dumps({"why": why})
        self.write(
            lambda changes: changes.log.append(
                changes.time, changes.actor, action, ok=False, collection=collection, id=id, detail=detail
            )
        )

    def head(self) -> Head:
        """The end of the log; kept elsewhere, it shows later that nothing before it was changed."""
        return self.read_connection(read_head)

    def anchor(self, path: Path) -> Head:
        """Note the end of the log in a file, which should be where those who can write the database cannot.

        Raises:
            DatabaseError: It cannot be written.
        """
        head = self.head()
        append_anchor(path, self.uuid, head)
        return head

    def verify_log(self, anchors: Path | None = None) -> AuditReport:
        """Replay the log and compare it with a file of anchors.

        Raises:
            DatabaseError: The file cannot be read, or knows nothing of this database.
        """
        heads = [] if anchors is None else read_anchors(anchors, self.uuid)
        with self._reading() as connection:
            return verify_log(connection, heads)

    def check(self) -> list[str]:
        """What is wrong with it, found by reading all of it: nothing, one hopes."""
        with self._reading() as connection:
            return list(problems(self._backend, connection))

    def backup(self, target: str | os.PathLike[str]) -> None:
        """Copy it, as it is at this moment, to a new file; others read and write meanwhile.

        Raises:
            StorageError: The file is there already, or cannot be written.
            CorruptionError: The copy is damaged, which means that the database is.
            DatabaseError: It is not in a file.
        """
        backup(require_file(self._backend), Path(target))

    def compact(self) -> None:
        """Give unused space back; nobody else can write meanwhile."""
        self._backend.compact()

    def sweep(self) -> int:
        """Remove what has expired, and results of idempotency keys older than a week.

        Returns:
            How many documents were removed.
        """

        def work(changes: Changes) -> int:
            changes.connection.run("DELETE FROM _requests WHERE time < ?", (changes.time - _KEYS_LIVE,))
            return sum(changes.expire(info) for info in changes.catalog.collections.values())

        return self.write(work)

    def close(self) -> None:
        """Finish what is being written, and close the files."""
        writer = getattr(self, "_writer", None)
        if writer is not None:
            writer.close()
        while self._idle:
            self._idle.pop().close()
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> Connection:
        if os.getpid() != self._process:
            raise DatabaseError(
                "the database was opened before this process was forked", hint="open it again in this process"
            )
        try:
            return self._idle.pop()
        except IndexError:
            return self._backend.connect(write=False)

    def _give(self, connection: Connection) -> None:
        if not connection.lost:
            self._idle.append(connection)
            return
        # The others are probably lost as well.
        connection.close()
        while self._idle:
            self._idle.pop().close()

    def _current_catalog(self, connection: Connection, log: Log) -> Catalog:
        """The catalog as the writer's transaction sees it, which another process may have changed."""
        return self._catalog if self._catalog.version == log.catalog else catalogs.load(connection)

    def _fresh_catalog(self) -> Catalog:
        self._note_catalog(self.read_connection(catalogs.load))
        return self._catalog

    @property
    def _catalog(self) -> Catalog:
        return self._known.catalog

    def _note_catalog(self, catalog: Catalog) -> None:
        self._known.note(catalog)

    def _note_commit(self, seq: int) -> None:
        with self._committed:
            self._committed.notify_all()
