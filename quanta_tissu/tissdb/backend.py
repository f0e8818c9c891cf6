"""What TissDB needs of a database engine; `sqlite/` and `postgres/` provide it.

Everything above speaks SQL through a `Connection`, with `?` for parameters, and asks the `Dialect` where the
engines differ. There is one implementation of documents, indexes, search and the log, for all engines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.definitions import Filter, Index, TextQuery

Row = tuple[Any, ...]


class Token(NamedTuple):
    """A word of a text.

    Attributes:
        start: The place of its first character.
        end: The place after its last.
        stem: What stands for it and all its forms.
    """

    start: int
    end: int
    stem: str


class TextEngine(Protocol):
    """How an engine keeps and searches words."""

    def create(self, connection: Connection, index: Index) -> None:
        """Make the tables of an index, empty."""

    def drop(self, connection: Connection, index: Index) -> None:
        """Drop them."""

    def insert(self, connection: Connection, index: Index, rows: Sequence[tuple[int, Sequence[str]]]) -> None:
        """Add the texts of documents, one for each field of the index."""

    def delete(self, connection: Connection, index: Index, rids: Sequence[int]) -> None:
        """Forget documents; those that are not there do not matter."""

    def rids(self, index: Index) -> str:
        """A query for the rows of all documents that it knows."""

    def search(
        self, connection: Connection, index: Index, query: TextQuery, limit: int, only: Filter | None
    ) -> list[tuple[int, float]]:
        """The best documents for a query.

        Args:
            connection: Where.
            index: Which.
            query: What to look for.
            limit: How many at most.
            only: Documents among which to look; None for all.

        Returns:
            Rows and scores, the best first; higher is better.
        """

    def tokens(self, connection: Connection, index: Index, texts: Sequence[str]) -> list[list[Token]]:
        """Words of texts as the index keeps them, and where they stand."""

    def before_undo(self, connection: Connection, kept: Collection[int]) -> None:
        """A savepoint is about to be undone, at which there were only the indexes of some numbers."""

    @property
    def ranker(self) -> str:
        """What its scores are: `bm25`, say."""


class VectorEngine(Protocol):
    """How an engine keeps vectors."""

    def create(self, connection: Connection, index: Index) -> None:
        """Make the tables of an index, empty."""

    def drop(self, connection: Connection, index: Index) -> None:
        """Drop them."""

    def as_stored(self, vector: NDArray[Any]) -> bytes:
        """What `store` takes for a vector that is in the form in which they are stored (`codes.encode`)."""

    def store(self, connection: Connection, index: Index, seq: int, rows: Sequence[tuple[int, bytes]]) -> None:
        """Add or replace vectors of documents, as part of the change with a number."""

    def delete(self, connection: Connection, index: Index, seq: int, rids: Sequence[int]) -> None:
        """Forget documents, as part of the change with a number; those that are not there do not matter."""

    def changes(self, connection: Connection, index: Index, since: int) -> tuple[NDArray[np.int64], int]:
        """Rows that are gone after the change with a number, and how many are new or have another vector."""

    def changed(
        self, connection: Connection, index: Index, since: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """What is new after the change with a number: some rows at a time, and their vectors."""

    def rids(self, index: Index) -> str:
        """A query for the rows of all documents that it knows."""

    def rids_since(self, connection: Connection, index: Index, since: int) -> NDArray[np.int64]:
        """Rows that are new or have another vector after the change with a number."""

    def keep(self, connection: Connection, index: Index, parts: Mapping[str, bytes]) -> None:
        """Keep how the vectors are divided into areas, instead of what was kept before."""

    def kept(self, connection: Connection, index: Index) -> dict[str, bytes]:
        """What `keep` was given last."""

    def fetch(self, connection: Connection, index: Index, first: int, last: int) -> dict[int, NDArray[Any]]:
        """Vectors of the rows from one to another."""


class Dialect(Protocol):
    """How an engine says what the engines say differently."""

    @property
    def name(self) -> str:
        """What the engine is called."""

    @property
    def failure_aborts(self) -> bool:
        """Whether a statement that fails leaves its transaction of no use, up to a savepoint before it."""

    @property
    def text(self) -> TextEngine:
        """Its full text."""

    @property
    def vectors(self) -> VectorEngine:
        """Its vectors."""

    def json_parameter(self) -> str:
        """A parameter of JSON text, as what a column of documents stores."""

    def json_text(self, expression: str) -> str:
        """The JSON text of a stored document."""

    def create_base_tables(self) -> Sequence[str]:
        """Statements that make the tables of a new database."""

    def create_documents_table(self, table: str) -> Sequence[str]:
        """Statements that make the table of a collection's documents."""

    def create_value_index(
        self, index: str, table: str, paths: Sequence[Sequence[str | int]], unique: bool
    ) -> str:
        """The statement that makes an index of the values at some paths of the documents."""

    def has_tables(self, connection: Connection, name: str | None = None) -> bool:
        """Whether there is a table of this name, or any table at all."""

    def missing_table(self, error: Exception) -> bool:
        """Whether an error says that a table is not there."""

    def unique_violation(self, error: Exception) -> str | None:
        """The index or column that refused a value, if that is what the error says."""


class Connection(Protocol):
    """One connection to an engine, used by one thread at a time."""

    @property
    def dialect(self) -> Dialect:
        """How the engine speaks."""

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a statement and fetch all it returns."""

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Run a statement and fetch the first row it returns."""

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; how many rows it changed."""

    def run_many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each set of parameters."""

    def insert(self, into: str, values: str, rows: Sequence[Sequence[Any]], otherwise: str = "") -> None:
        """Add rows to a table: all of them, or those before the first that is refused, whose error is raised.

        Args:
            into: The table and its columns: `d_1 (rid, id)`.
            values: What stands for a row: `(?, ?)`.
            rows: Parameters of each.
            otherwise: What is to be done where a row is there already: `ON CONFLICT ...`.
        """

    @property
    def failed_row(self) -> int:
        """Which of the rows, from 0, the last `insert` that failed has not written."""

    def limit(self, until: float | None) -> float | None:
        """Stop statements that run after a moment of `time.monotonic`, by a BusyError; None: let them run.

        Returns:
            The limit before.
        """

    def begin_read(self) -> None:
        """Begin a transaction that sees one state of the database until it ends."""

    def begin_write(self) -> None:
        """Begin a transaction as the only writer.

        Raises:
            BusyError: Another process has been writing for too long.
        """

    def commit(self) -> None:
        """Make what was written permanent.

        Raises:
            StorageError: It was not, and is undone.
            UnknownOutcomeError: Nobody can tell.
        """

    def rollback(self) -> None:
        """Undo what was written; nothing if the engine has done so already.

        Raises:
            StorageError: It is lost.
        """

    @property
    def lost(self) -> bool:
        """Whether it is of no more use: a server has gone, or has closed it."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open: an engine may end one by itself when a statement fails."""

    def close(self) -> None:
        """Close it."""


class Backend(Protocol):
    """A database of one engine."""

    @property
    def dialect(self) -> Dialect:
        """How the engine speaks."""

    @property
    def url(self) -> str:
        """How users name the database."""

    @property
    def frozen(self) -> bool:
        """Whether this process may read it and not write."""

    def connect(self, *, write: bool) -> Connection:
        """A new connection.

        Raises:
            StorageError: It is frozen, and this is for writing.
        """

    def maintain(self) -> None:
        """Work that keeps the files small, called from time to time while nobody waits for it."""

    def changed_elsewhere(self, connection: Connection) -> int:
        """A number that differs from an earlier one if other processes have written meanwhile."""

    def backup(self, target: Path) -> None:
        """Copy the database, as it is at one moment, to a new file."""

    def upgrade(self, format: int) -> None:
        """Bring the files of a database of an earlier format up to date, and see that they are as they should be.

        Raises:
            CorruptionError: They are not.
        """

    def check(self, connection: Connection) -> list[str]:
        """What the engine itself finds wrong with its files."""

    def compact(self) -> None:
        """Give unused space back."""

    def size(self) -> int:
        """Bytes on disk."""

    def close(self) -> None:
        """Release what the connections shared."""
