"""Several writes as one, and views of one moment."""

from __future__ import annotations

import hashlib
import json
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from quanta_tissu.errors import ConflictError, DatabaseError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.definitions import Catalog, CollectionInfo, Index
from quanta_tissu.tissdb.documents import Changes, NewDocument, Written
from quanta_tissu.tissdb.log import Log
from quanta_tissu.tissdb.scope import limited
from quanta_tissu.tissdb.search.cache import VectorCache
from quanta_tissu.tissdb.tissql.run import Queries
from quanta_tissu.tissdb.writer import Writer

T = TypeVar("T")


class Transaction(Queries):
    """As `Scope`: writes that all happen when it ends, or none.

    Args:
        changes: The writer's transaction, lent to this thread.
        timeout: As `Scope`.
    """

    def __init__(self, changes: Changes, timeout: float | None = None) -> None:
        self.timeout = timeout
        self._changes: Changes | None = changes
        self._depth = 0

    def collection(self, name: str) -> Collection:
        """A collection in this transaction."""
        return Collection(self, name)

    def __getitem__(self, name: str) -> Collection:
        return self.collection(name)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Writes inside it that are undone, and only these, if an exception leaves it."""
        changes = self._open()
        self._depth += 1
        name = f"level_{self._depth}"
        mark, catalog = changes.log.mark(), changes.catalog
        try:
            with savepoint(changes.connection, name):
                try:
                    yield
                except BaseException:
                    if changes.connection.in_transaction:
                        changes.connection.dialect.text.before_undo(changes.connection, catalog.index_numbers())
                    raise
        except BaseException:
            changes.log.reset(mark)
            changes.catalog = catalog
            raise
        finally:
            self._depth -= 1

    def read(
        self, work: Callable[[Connection, Catalog], T], *, one_state: bool = False, timeout: float | None = None
    ) -> T:
        """As `Scope`; sees what the transaction has written, and may fail without undoing it."""
        changes = self._open()
        with self.savepoint() if changes.connection.dialect.failure_aborts else nullcontext():
            return limited(work, changes.connection, changes.catalog, timeout)

    def vector_cache(self, index: Index) -> VectorCache:
        """As `Scope`: one of its own for every call, since what it has written may be undone."""
        return VectorCache(index)

    def find(self, connection: Connection, catalog: Catalog, name: str) -> CollectionInfo | None:
        """As `Scope`."""
        return catalog.collections.get(name)

    def write(self, work: Callable[[Changes], T], *, key: str | None = None, purpose: str = "") -> T:
        """As `Scope`; one that fails is undone alone, and the transaction goes on if its error is caught."""
        with self.savepoint():
            return run_once(self._open(), work, key, purpose)

    def insert(self, name: str, documents: Sequence[NewDocument]) -> list[Written]:
        """As `Scope`."""
        return self.write(lambda changes: changes.insert(changes.collection(name, create=True), documents))

    def end(self) -> None:
        """Refuse everything from now on."""
        self._changes = None

    def _open(self) -> Changes:
        if self._changes is None:
            raise DatabaseError("the transaction has ended", hint="use it inside its `with` block")
        return self._changes


class View(Queries):
    """As `Scope`: the database as it was at one moment; it cannot be written.

    Args:
        connection: Has a read transaction open.
        catalog: The catalog of that moment.
        vector_cache: Vectors of an index.
        timeout: As `Scope`.
    """

    def __init__(
        self,
        connection: Connection,
        catalog: Catalog,
        vector_cache: Callable[[Index], VectorCache],
        timeout: float | None = None,
    ) -> None:
        self.timeout = timeout
        self._connection = connection
        self._catalog = catalog
        self._vector_cache = vector_cache

    def collection(self, name: str) -> Collection:
        """A collection in this view."""
        return Collection(self, name)

    def __getitem__(self, name: str) -> Collection:
        return self.collection(name)

    def read(
        self, work: Callable[[Connection, Catalog], T], *, one_state: bool = False, timeout: float | None = None
    ) -> T:
        """As `Scope`; may fail without ending the view."""
        with savepoint(self._connection, "reading") if self._connection.dialect.failure_aborts else nullcontext():
            return limited(work, self._connection, self._catalog, timeout)

    def vector_cache(self, index: Index) -> VectorCache:
        """As `Scope`."""
        return self._vector_cache(index)

    def find(self, connection: Connection, catalog: Catalog, name: str) -> CollectionInfo | None:
        """As `Scope`."""
        return catalog.collections.get(name)

    def write(self, work: Callable[[Changes], T], *, key: str | None = None, purpose: str = "") -> T:
        """Refuse.

        Raises:
            DatabaseError: Always.
        """
        raise DatabaseError("a view cannot be written", hint="write to the database, or in a transaction")

    def insert(self, name: str, documents: Sequence[NewDocument]) -> list[Written]:
        """Refuse, as `write`."""
        return self.write(lambda changes: [])


@contextmanager
def transaction(
    writer: Writer,
    actor: str,
    current: Callable[[Connection, Log], Catalog],
    ended: Callable[[Catalog], None],
    timeout: float | None = None,
) -> Iterator[Transaction]:
    """Borrow the writer's transaction for the calling thread; commit it at the end, or undo it after an exception.

    Args:
        writer: The writer.
        actor: On whose behalf.
        current: The catalog at the transaction's beginning.
        ended: Gets the catalog that the transaction left, once it is committed.
        timeout: As `Scope`.
    """
    granted: queue.SimpleQueue[Changes | None] = queue.SimpleQueue()
    finished: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def lend(connection: Connection, log: Log) -> None:
        granted.put(Changes(connection, log, current(connection, log), actor))
        if not finished.get():
            raise _UndoneError

    future: Future[None] = writer.submit(lend)
    future.add_done_callback(lambda _: granted.put(None))
    changes = granted.get()
    if changes is None:
        future.result()
        raise AssertionError("unreachable: the writer ended without an error")
    opened = Transaction(changes, timeout)
    with writer.lent():
        try:
            yield opened
        except BaseException:
            opened.end()
            finished.put(False)
            future.exception()
            raise
        opened.end()
        finished.put(True)
    future.result()
    ended(changes.catalog)


@contextmanager
def savepoint(connection: Connection, name: str) -> Iterator[None]:
    """What is written inside it is undone if an exception leaves it, unless the engine has undone everything."""
    connection.rows(f"SAVEPOINT {name}")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.rows(f"ROLLBACK TO {name}")
            connection.rows(f"RELEASE {name}")
        raise
    else:
        connection.rows(f"RELEASE {name}")


class _UndoneError(Exception):
    """An exception has left the transaction's block, and goes on there."""


def run_once(changes: Changes, work: Callable[[Changes], T], key: str | None, purpose: str) -> T:
    """Run work, or give the result that it had when it ran under the same key.

    Raises:
        ConflictError: The key was used for another purpose.
    """
    if key is None:
        return work(changes)
    digest = hashlib.sha256(purpose.encode()).hexdigest()[:16]
    found = changes.connection.row("SELECT result FROM _requests WHERE key = ?", (key,))
    if found is not None:
        earlier_digest, line, text = str(found[0]).rpartition("\n")
        if line and earlier_digest != digest:  # earlier versions did not note what a key was for
            raise ConflictError(
                f"the idempotency key {key!r} was used for something else", hint="give each write a key of its own"
            )
        earlier: T = json.loads(text)
        return earlier
    result: Any = work(changes)
    changes.connection.run(
        "INSERT INTO _requests (key, time, result) VALUES (?, ?, ?)",
        (key, changes.time, f"{digest}\n{json.dumps(result)}"),
    )
    return result  # type: ignore[no-any-return]
