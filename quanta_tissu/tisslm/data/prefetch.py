"""A background thread that keeps the next items ready while the current one is in use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_PATIENCE = 0.05
"""Seconds between two looks at whether the other side is gone."""


class Prefetcher(Generic[T]):
    """Iterates over fetch(start), fetch(start + 1), … , computed ahead of time by one thread, in order.

    An exception in `fetch` is raised by the `next` that would have returned the item, after all items before it.
    Use it as a context manager, or call `close`: the thread is joined and nothing is left behind.

        with Prefetcher(lambda step: batches.sequences(step * 8, 8), start=step) as upcoming:
            for batch in upcoming:
                ...

    Args:
        fetch: Gives item number k; called from the thread, one call at a time.
        start: Number of the first item.
        stop: Number after the last item; None never ends.
        depth: Items kept ready at most.
    """

    def __init__(
        self, fetch: Callable[[int], T], start: int = 0, *, stop: int | None = None, depth: int = 2
    ) -> None:
        if depth < 1:
            raise ValueError(f"a prefetcher keeps at least one item ready; depth is {depth}")
        self._fetch = fetch
        self._start = start
        self._stop = stop
        self._queue: Queue[tuple[T | None, BaseException | None]] = Queue(maxsize=depth)
        self._closing = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._work, name="tissu-prefetch", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        number = self._start
        while not self._closing.is_set() and (self._stop is None or number < self._stop):
            try:
                entry: tuple[T | None, BaseException | None] = (self._fetch(number), None)
            except BaseException as error:
                entry = (None, error)
            self._put(entry)
            if entry[1] is not None:
                return
            number += 1
        self._put((None, StopIteration()))

    def _put(self, entry: tuple[T | None, BaseException | None]) -> None:
        while not self._closing.is_set():
            try:
                self._queue.put(entry, timeout=_PATIENCE)
                return
            except Full:
                continue

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        while not self._over:
            try:
                item, error = self._queue.get(timeout=_PATIENCE)
            except Empty:
                continue  # Ctrl-C gets through between two looks
            if error is None:
                return item  # type: ignore[return-value]  # an entry without an error holds an item
            self.close()
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread and wait until it has ended; items not yet taken are dropped. May be called again."""
        self._over = True
        self._closing.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
