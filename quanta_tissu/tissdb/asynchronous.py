"""The same database for asyncio: every method is awaited, and runs in a thread.

    async with await open_async("knowledge.db") as db:
        written = await db.collection("notes").insert({"title": "A first note"})

SQLite and PostgreSQL's driver block, so threads there must be: some for all that is awaited, and one for each
transaction, view and watch as long as it is open, because what these have open belongs to a thread. Writes that
come together are committed together, as they are of any threads.

An await that is cancelled leaves nothing half done: what has not begun is not done, what has begun is finished in
its thread, and nobody is told. Who must know gives the write an idempotency key, and calls again with it. A
transaction that is cancelled is undone.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial, wraps
from itertools import islice
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from quanta_tissu.tissdb import open as open_blocking
from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.database import Database
from quanta_tissu.tissdb.definitions import IndexKind
from quanta_tissu.tissdb.log import Entry
from quanta_tissu.tissdb.transaction import Transaction, View

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")

_THREADS = 32
"""For all that is awaited: as many writes are committed together, and more readers than cores would only wait."""

_CHUNK = 200
"""Of a scan, taken at once: a change of threads costs more than reading a document."""


class _Wrapped(Generic[S]):
    """An object whose methods run in threads.

    Args:
        blocking: The object.
        threads: Where they run.
    """

    def __init__(self, blocking: S, threads: Executor) -> None:
        self._blocking = blocking
        self._threads = threads

    def _run(self, work: Callable[[], T]) -> Awaitable[T]:
        return _in(self._threads, work)


def _awaited(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[_Wrapped[S], P], Coroutine[Any, Any, T]]:
    """The method of a blocking object, to be awaited."""

    @wraps(method)
    async def call(self: _Wrapped[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(partial(method, self._blocking, *args, **kwargs))

    return call


def _iterated(
    method: Callable[Concatenate[S, P], Iterator[T]],
) -> Callable[Concatenate[_Wrapped[S], P], AsyncIterator[T]]:
    """The method of a blocking object that gives one item after the other."""

    @wraps(method)
    async def iterate(self: _Wrapped[S], /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        items = await self._run(partial(method, self._blocking, *args, **kwargs))
        while found := await self._run(lambda: list(islice(items, _CHUNK))):
            for item in found:
                yield item

    return iterate


class AsyncCollection(_Wrapped[Collection]):
    """As `Collection`, awaited."""

    @property
    def name(self) -> str:
        """Its name."""
        return self._blocking.name

    insert = _awaited(Collection.insert)
    insert_many = _awaited(Collection.insert_many)
    get = _awaited(Collection.get)
    replace = _awaited(Collection.replace)
    patch = _awaited(Collection.patch)
    upsert = _awaited(Collection.upsert)
    delete = _awaited(Collection.delete)
    count = _awaited(Collection.count)
    search = _awaited(Collection.search)
    tune_index = _awaited(Collection.tune_index)
    drop_index = _awaited(Collection.drop_index)
    scan = _iterated(Collection.scan)
    scan_with_vectors = _iterated(Collection.scan_with_vectors)

    @wraps(Collection.create_index)
    async def create_index(
        self,
        name: str,
        *,
        fields: str | Sequence[str] | None = None,
        kind: IndexKind = "value",
        **options: Any,
    ) -> None:
        """As `Collection.create_index`."""
        await self._run(partial(self._blocking.create_index, name, fields=fields, kind=kind, **options))

    async def indexes(self) -> dict[str, Any]:
        """Its indexes by name."""
        return await self._run(lambda: self._blocking.indexes)


class _Queried(_Wrapped[S]):
    """What databases, transactions and views have in common."""

    _blocking: Any

    def collection(self, name: str) -> AsyncCollection:
        """A collection."""
        return AsyncCollection(self._blocking.collection(name), self._threads)

    def __getitem__(self, name: str) -> AsyncCollection:
        return self.collection(name)


class AsyncTransaction(_Queried[Transaction]):
    """As `Transaction`, awaited."""

    query = _awaited(Transaction.query)
    explain = _awaited(Transaction.explain)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """As `Transaction.savepoint`."""
        async with _entered(self._blocking.savepoint(), self._threads):
            yield


class AsyncView(_Queried[View]):
    """As `View`, awaited."""

    query = _awaited(View.query)
    explain = _awaited(View.explain)


class AsyncDatabase(_Queried[Database]):
    """As `Database`, awaited.

    Args:
        blocking: The database; it is closed with this one.
    """

    def __init__(self, blocking: Database) -> None:
        super().__init__(blocking, ThreadPoolExecutor(_THREADS, thread_name_prefix="tissdb-async"))

    query = _awaited(Database.query)
    explain = _awaited(Database.explain)
    collections = _awaited(Database.collections)
    drop_collection = _awaited(Database.drop_collection)
    alter_collection = _awaited(Database.alter_collection)
    size = _awaited(Database.size)
    log_refusal = _awaited(Database.log_refusal)
    head = _awaited(Database.head)
    anchor = _awaited(Database.anchor)
    verify_log = _awaited(Database.verify_log)
    check = _awaited(Database.check)
    backup = _awaited(Database.backup)
    compact = _awaited(Database.compact)
    sweep = _awaited(Database.sweep)
    log = _iterated(Database.log)
    _create_collection = _awaited(Database.create_collection)

    @wraps(Database.create_collection)
    async def create_collection(self, name: str, **settings: Any) -> AsyncCollection:
        """As `Database.create_collection`."""
        await self._create_collection(name, **settings)
        return self.collection(name)

    @property
    def url(self) -> str:
        """How it was named."""
        return str(self._blocking.url)

    @property
    def actor(self) -> str:
        """On whose behalf changes are made."""
        return str(self._blocking.actor)

    async def uuid(self) -> str:
        """Tells it from all other databases."""
        return await self._run(lambda: self._blocking.uuid)

    def as_actor(self, actor: str) -> AsyncDatabase:
        """This database, with changes made on somebody's behalf; it lives as long as this one."""
        other = AsyncDatabase.__new__(AsyncDatabase)
        _Wrapped.__init__(other, self._blocking.as_actor(actor), self._threads)
        return other

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncTransaction]:
        """As `Database.transaction`; other writes of this process wait meanwhile, so keep it short."""
        with _thread("tissdb-transaction") as thread:
            async with _entered(self._blocking.transaction(), thread) as opened:
                yield AsyncTransaction(opened, thread)

    @asynccontextmanager
    async def view(self) -> AsyncIterator[AsyncView]:
        """As `Database.view`."""
        with _thread("tissdb-view") as thread:
            async with _entered(self._blocking.view(), thread) as opened:
                yield AsyncView(opened, thread)

    async def watch(
        self, since: int | None = None, *, collection: str | None = None, timeout: float | None = None
    ) -> AsyncIterator[Entry]:
        """As `Database.watch`; ended by `break` or by cancelling, it is gone a tenth of a second later at most."""
        if since is None:
            since = (await self.head()).seq
        ended = threading.Event()
        with _thread("tissdb-watch") as thread:
            changes = self._blocking.watch(since, collection=collection, timeout=timeout, ended=ended)
            try:
                while (entry := await _in(thread, lambda: next(changes, None))) is not None:
                    yield entry
            finally:
                ended.set()

    async def close(self) -> None:
        """Finish what is being written, and close the files."""
        await self._run(self._blocking.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


async def open_async(url: str | os.PathLike[str], **options: Any) -> AsyncDatabase:
    """Open a database, or make it.

    Args:
        url: As for `tissdb.open`.
        options: As for `tissdb.open`.

    Raises:
        DatabaseError: As `tissdb.open` does.
    """
    return AsyncDatabase(await asyncio.to_thread(partial(open_blocking, url, **options)))


@contextmanager
def _thread(name: str) -> Iterator[Executor]:
    """A thread of its own; who leaves does not wait for what it is still doing."""
    executor = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        yield executor
    finally:
        executor.shutdown(wait=False)


def _in(executor: Executor, work: Callable[[], T]) -> Awaitable[T]:
    return asyncio.get_running_loop().run_in_executor(executor, work)


@asynccontextmanager
async def _entered(manager: AbstractContextManager[T], thread: Executor) -> AsyncIterator[T]:
    """A context that is entered and left in a thread.

    Who is cancelled while it is being entered leaves it again as soon as it has been; who is cancelled while it is
    left does not keep it from being left.
    """
    entering = thread.submit(manager.__enter__)
    try:
        value = await asyncio.wrap_future(entering)
    except asyncio.CancelledError as error:
        thread.submit(_leave_if_entered, manager, entering, error)
        raise
    try:
        yield value
    except BaseException as error:
        if not await _in(thread, partial(manager.__exit__, type(error), error, error.__traceback__)):
            raise
    else:
        await _in(thread, partial(manager.__exit__, None, None, None))


def _leave_if_entered(manager: AbstractContextManager[Any], entering: Future[Any], error: BaseException) -> None:
    if not entering.cancelled() and entering.exception() is None:
        with suppress(asyncio.CancelledError):
            manager.__exit__(type(error), error, error.__traceback__)
