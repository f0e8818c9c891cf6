"""Where reads and writes happen: on the database as it is now, in a transaction, or on a view of one moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Catalog, CollectionInfo, Index
from quanta_tissu.tissdb.documents import Changes, NewDocument, Written
from quanta_tissu.tissdb.search.cache import VectorCache

T = TypeVar("T")


class Scope(Protocol):
    """Runs reads and writes."""

    def read(self, work: Callable[[Connection, Catalog], T], *, one_state: bool = False) -> T:
        """Run work that reads.

        Args:
            work: What to do.
            one_state: Let all its statements see the same state of the database.
        """

    def vector_cache(self, index: Index) -> VectorCache:
        """Vectors of an index in memory."""

    def find(self, connection: Connection, catalog: Catalog, name: str) -> CollectionInfo | None:
        """A collection, None if there is none; a catalog in which it is missing may be old, and is read again."""

    def write(self, work: Callable[[Changes], T], *, key: str | None = None) -> T:
        """Run work that writes, all of it or nothing.

        Args:
            work: What to do; its result can be written as JSON if there is a key.
            key: An idempotency key: work that was done under it is not done again, and its result is given again.
        """

    def insert(self, name: str, documents: Sequence[NewDocument]) -> list[Written]:
        """Add documents to a collection, which is made if it is not there: all of them or none."""
