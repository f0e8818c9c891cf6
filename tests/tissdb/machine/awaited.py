"""A database for asyncio that is called as if it blocked, so that the machine drives it as it drives any other."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

from quanta_tissu.tissdb.asynchronous import (
    AsyncCollection,
    AsyncDatabase,
    AsyncTransaction,
    AsyncView,
    open_async,
)

_WRAPPED = (AsyncCollection, AsyncDatabase, AsyncTransaction, AsyncView)


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, awaitable: Any) -> Any:
        async def wait() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(timeout=60)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Awaited:
    """Waits for all that its object would let others await.

    Args:
        of: A database, or what it gives.
        loop: Where it lives.
    """

    def __init__(self, of: Any, loop: _Loop) -> None:
        self.of, self._loop = of, loop

    @property
    def blocking(self) -> Any:
        """The same without asyncio."""
        return self.of._blocking

    @property
    def indexes(self) -> Any:
        return self._loop.run(self.of.indexes())

    @property
    def uuid(self) -> Any:
        return self._loop.run(self.of.uuid())

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.of, name)
        return (lambda *given, **named: self._waited(found(*given, **named))) if callable(found) else found

    def __getitem__(self, name: str) -> Awaited:
        return Awaited(self.of[name], self._loop)

    def __len__(self) -> int:
        return int(self._loop.run(self.of.count()))

    def close(self) -> None:
        self._loop.run(self.of.close())
        self._loop.end()

    def _waited(self, result: Any) -> Any:
        if isinstance(result, AbstractAsyncContextManager):
            return _Entered(result, self._loop)
        if isinstance(result, AsyncIterator):
            return self._items(result)
        result = self._loop.run(result) if inspect.isawaitable(result) else result
        return Awaited(result, self._loop) if isinstance(result, _WRAPPED) else result

    def _items(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> list[Any]:
            return [item async for item in items]

        return iter(self._loop.run(following()))


class _Entered:
    """A context for asyncio, entered as any other."""

    def __init__(self, context: AbstractAsyncContextManager[Any], loop: _Loop) -> None:
        self._context, self._loop = context, loop

    def __enter__(self) -> Any:
        found = self._loop.run(self._context.__aenter__())
        return Awaited(found, self._loop) if isinstance(found, _WRAPPED) else found

    def __exit__(self, *raised: Any) -> bool | None:
        left: bool | None = self._loop.run(self._context.__aexit__(*raised))
        return left


def open_awaited(url: str) -> Awaited:
    """A database for asyncio."""
    loop = _Loop()
    return Awaited(loop.run(open_async(url)), loop)


def blocking(one: Any) -> Any:
    """What has functions of its own for asyncio, or none, as functions that block take it."""
    return one.blocking if isinstance(one, Awaited) else one
