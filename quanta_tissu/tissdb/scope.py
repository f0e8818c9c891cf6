"""Where reads and writes happen: on the database as it is now, in a transaction, or on a view of one moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from quanta_tissu.errors import BusyError, DatabaseError, QueryTimeoutError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Catalog, CollectionInfo, Index
from quanta_tissu.tissdb.documents import Changes, NewDocument, Written
from quanta_tissu.tissdb.search.cache import VectorCache

T = TypeVar("T")


class Scope(Protocol):
    """Runs reads and writes."""

    @property
    def timeout(self) -> float | None:
        """Seconds that queries, searches, counts and pages of scans may take unless they say otherwise."""

    def read(
        self, work: Callable[[Connection, Catalog], T], *, one_state: bool = False, timeout: float | None = None
    ) -> T:
        """Run work that reads.

        Args:
            work: What to do.
            one_state: Let all its statements see the same state of the database.
            timeout: Seconds that it may take (`time_limit`).

        Raises:
            QueryTimeoutError: It took longer.
        """

    def vector_cache(self, index: Index) -> VectorCache:
        """Vectors of an index in memory."""

    def find(self, connection: Connection, catalog: Catalog, name: str) -> CollectionInfo | None:
        """A collection, None if there is none; a catalog in which it is missing may be old, and is read again."""

    def write(self, work: Callable[[Changes], T], *, key: str | None = None, purpose: str = "") -> T:
        """Run work that writes, all of it or nothing.

        Args:
            work: What to do; its result can be written as JSON if there is a key.
            key: An idempotency key: work that was done under it is not done again, and its result is given again.
            purpose: What the key is for; under the same key nothing else is done.

        Raises:
            ConflictError: The key was used for another purpose.
        """

    def insert(self, name: str, documents: Sequence[NewDocument]) -> list[Written]:
        """Add documents to a collection, which is made if it is not there: all of them or none."""


def time_limit(scope: Scope, timeout: float | None) -> float | None:
    """Seconds that a read may take: those that it was given, or those of its scope; None for any time.

    Raises:
        DatabaseError: What was given is no time.
    """
    if timeout is None:
        return scope.timeout
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise DatabaseError(f"timeout = {timeout!r} is no time", hint="seconds, more than 0; math.inf for any")
    return None if timeout == float("inf") else timeout


def limited(
    work: Callable[[Connection, Catalog], T], connection: Connection, catalog: Catalog, timeout: float | None
) -> T:
    """Run work that reads, within some seconds.

    Raises:
        QueryTimeoutError: It took longer.
    """
    if timeout is None:
        return work(connection, catalog)
    until = time.monotonic() + timeout
    before = connection.limit(until)
    try:
        return work(connection, catalog)
    except BusyError as error:
        if time.monotonic() < until:
            raise
        raise QueryTimeoutError(
            f"the read took longer than {timeout:g} s and was stopped",
            hint="narrow it, make an index for it (EXPLAIN shows what is used), or give it more time by timeout=",
        ) from error
    finally:
        connection.limit(before)
