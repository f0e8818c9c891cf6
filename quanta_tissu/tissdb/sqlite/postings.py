"""Postings of words in memory, in step with FTS5: what ranks a search at once instead of document by document.

FTS5 stays the truth. The postings of a term are asked of it when the term is first searched for, and brought up to
date before every search by the documents that were written and removed since; so they can be thrown away at any
time, and never answer for another state than the reader's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import apsw
import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Index, Term
from quanta_tissu.tissdb.sqlite.bm25 import Postings, norms_of

_MOST_POSTINGS = 32
"""Kept at most for each document, 8 bytes each: the least recently used lists go."""

_MOST_CHANGED = 0.2
"""Share of documents that have changed, above which all lists are read again."""

_SEEK = 500
"""Postings that FTS5 passes by in the time in which it looks up one document."""


@dataclass(frozen=True, slots=True)
class Documents:
    """All documents of an index at one state of the database; places count from 0, in the order of rows.

    Attributes:
        mark: The last row that was removed, by its number, and the last row; it orders states.
        rids: Their rows, ascending (n); those of removed documents stay, and are in no list.
        lengths: Their numbers of words (n).
        count: How many FTS5 says there are.
        norms: Of `norms_of` (n).
    """

    mark: tuple[int, int]
    rids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    count: int
    norms: NDArray[np.float64]

    def places(self, rids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of those rows that are there."""
        places = np.searchsorted(self.rids, rids)
        places[places == len(self.rids)] = 0
        return places[self.rids[places] == rids] if len(self.rids) else places[:0]


class _Kept(NamedTuple):
    """A list, and up to where it is.

    Attributes:
        postings: The list.
        documents: How many documents there were.
        changed: How many changes of older documents there had been.
    """

    postings: Postings
    documents: int
    changed: int


_NOTHING = Documents((0, 0), np.empty(0, np.int64), np.empty(0, np.int64), 0, np.empty(0))


class PostingsCache:
    """Postings of one index, for all readers of this process.

    Args:
        index: Which.
        table: Its table of FTS5.
        expression: Says a term in the language of FTS5.
    """

    def __init__(self, index: Index, table: str, expression: Callable[[Term], str]) -> None:
        self._index, self._table, self._expression = index, table, expression
        self._lock = threading.Lock()
        self._begun = False
        self._held = 0  # postings in all lists
        self._documents = _NOTHING
        self._lists: dict[Term, _Kept] = {}
        self._counts: dict[Term, int] = {}
        self._changed = np.empty(0, np.int64)  # places of documents whose texts did, in that order
        weights = index.options.get("weights")
        self._type: Any = np.float64 if weights else np.float32
        self._counting = f"tissdb_count({', '.join([table, *map(repr, map(float, weights or ()))])})"

    def at(self, connection: Connection) -> Documents | None:
        """The documents as a reader sees them.

        Returns:
            None if it sees an earlier state, which is left behind; and the first time, since a single search, as
            of a command, is not worth reading them all.
        """
        if not self._begun:
            self._begun = True
            return None
        mark = self._mark(connection)
        with self._lock:
            if mark > self._documents.mark:
                self._documents = self._caught_up(connection, mark)
                self._counts.clear()
            return self._documents if mark == self._documents.mark else None

    def count(self, connection: Connection, documents: Documents, term: Term) -> int | None:
        """How many documents have a term; None if the reader's state has been left behind."""
        with self._lock:
            if documents is not self._documents:
                return None
            if term in self._lists:
                return len(self._list(connection, term).places)
            if term not in self._counts:
                [(self._counts[term],)] = connection.rows(
                    f"SELECT count(*) FROM {self._table} WHERE {self._table} MATCH ?", (self._expression(term),)
                )
            return self._counts[term]

    def lists(
        self, connection: Connection, documents: Documents, terms: Iterable[Term]
    ) -> dict[Term, Postings] | None:
        """Postings of terms; None if the reader's state has been left behind."""
        with self._lock:
            if documents is not self._documents:
                return None
            found = {term: self._list(connection, term) for term in terms}
            self._forget_some(len(found))
            return found

    def _mark(self, connection: Connection) -> tuple[int, int]:
        [(gone, last)] = connection.rows(
            f"SELECT coalesce((SELECT max(number) FROM {self._table}_gone), 0), "
            f"coalesce((SELECT max(id) FROM {self._table}_docsize), 0)"
        )
        return gone, last

    def _caught_up(self, connection: Connection, mark: tuple[int, int]) -> Documents:
        """The documents at a later state; lists follow when they are asked for."""
        old = self._documents
        new_rids, new_lengths = self._sizes(connection, "id > ?", (old.mark[1],))
        lengths = np.concatenate([old.lengths, new_lengths])
        rids = np.concatenate([old.rids, new_rids])
        changed = np.empty(0, np.int64)
        if mark[0] > old.mark[0] and len(old.rids):
            rows = connection.rows(f"SELECT rid FROM {self._table}_gone WHERE number > ?", (old.mark[0],))
            changed = old.places(np.unique(np.array([rid for (rid,) in rows], np.int64)))
            among = ", ".join(map(str, old.rids[changed].tolist()))
            there, sizes = self._sizes(connection, f"id IN ({among})")
            lengths[changed] = 0  # of those that are gone
            lengths[np.searchsorted(old.rids, there)] = sizes
        count, words = totals(connection, self._table)
        self._changed = np.concatenate([self._changed, changed])
        if len(self._changed) > _MOST_CHANGED * len(rids):
            self._changed = self._changed[:0]
            self._lists.clear()
            self._held = 0
        return Documents(mark, rids, lengths, count, norms_of(lengths, count, words))

    def _sizes(
        self, connection: Connection, condition: str, parameters: Sequence[Any] = ()
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and numbers of words of documents: FTS5 keeps a number for each field."""
        rows = connection.rows(
            f"SELECT id, sz FROM {self._table}_docsize WHERE {condition} ORDER BY id", parameters
        )
        rids = np.fromiter((rid for rid, _ in rows), np.int64, len(rows))
        return rids, varints(b"".join(sizes for _, sizes in rows)).reshape(-1, len(self._index.paths)).sum(axis=1)

    def _list(self, connection: Connection, term: Term) -> Postings:
        """The postings of a term in the state of `_documents`."""
        kept = self._lists.pop(term, None)
        now = (len(self._documents.rids), len(self._changed))
        if kept is None or kept[1:] != now:
            self._held -= 0 if kept is None else len(kept.postings.places)
            kept = _Kept(
                self._read(connection, term) if kept is None else self._renewed(connection, term, kept), *now
            )
            self._held += len(kept.postings.places)
        self._lists[term] = kept
        return kept.postings

    def _renewed(self, connection: Connection, term: Term, kept: _Kept) -> Postings:
        """A list of an earlier state in that of `_documents`."""
        documents, postings = self._documents, kept.postings
        changed = np.unique(self._changed[kept.changed :])
        changed = changed[changed < kept.documents]  # the others are read as new ones
        if len(changed):
            stay = ~np.isin(postings.places, changed)
            postings = Postings(*(part[stay] for part in postings))
            there = changed[documents.lengths[changed] > 0]
            if len(there):
                among = ", ".join(map(str, documents.rids[there].tolist()))
                row = "rowid" if len(there) * _SEEK < len(stay) else "+rowid"  # look each up, or pass by all
                postings = _joined(postings, self._read(connection, term, f" AND {row} IN ({among})"))
        if len(documents.rids) > kept.documents:
            last = documents.rids[kept.documents - 1] if kept.documents else 0
            postings = _joined(postings, self._read(connection, term, f" AND rowid > {last}"))
        return postings

    def _read(self, connection: Connection, term: Term, among: str = "") -> Postings:
        rows = connection.rows(
            f"SELECT rowid, {self._counting} FROM {self._table} WHERE {self._table} MATCH ?{among}",
            (self._expression(term),),
        )
        rids = np.fromiter((rid for rid, _ in rows), np.int64, len(rows))
        counts = np.fromiter((count for _, count in rows), self._type, len(rows))
        return Postings(np.searchsorted(self._documents.rids, rids).astype(np.int32), counts)

    def _forget_some(self, used: int) -> None:
        """Make room; but not by what was used just now, which stands at the end."""
        most = _MOST_POSTINGS * len(self._documents.rids)
        if self._held > most:
            for term in list(self._lists)[: len(self._lists) - used]:
                if self._held <= most:
                    break
                self._held -= len(self._lists.pop(term).postings.places)


def _joined(one: Postings, other: Postings) -> Postings:
    places = np.concatenate([one.places, other.places])
    counts = np.concatenate([one.counts, other.counts])
    if len(other.places) and len(one.places) and other.places[0] < one.places[-1]:
        order = np.argsort(places, kind="stable")
        return Postings(places[order], counts[order])
    return Postings(places, counts)


def totals(connection: Connection, table: str) -> tuple[int, int]:
    """How many documents a table of FTS5 has, and how many words they have together: its record of averages."""
    [(record,)] = connection.rows(f"SELECT block FROM {table}_data WHERE id = 1")
    count, *words = varints(record).tolist() or [0]
    return count, sum(words)


def varints(data: bytes) -> NDArray[np.int64]:
    """Numbers as SQLite writes them, seven bits a byte and the high ones first; of fewer than nine bytes each."""
    numbers = np.frombuffer(data, np.uint8).astype(np.int64)
    ends = np.flatnonzero(numbers < 128)
    values = numbers[ends]
    width = np.diff(ends, prepend=-1)
    for step in range(1, int(width.max(initial=1))):
        longer = np.flatnonzero(width > step)
        values[longer] |= (numbers[ends[longer] - step] & 127) << 7 * step
    return values


def count_in_document(api: apsw.FTS5ExtensionApi, /, *weights: Any) -> float:
    """A function of FTS5: how often the document at hand has the term of the query, by weights of fields."""
    if not weights:
        return api.inst_count
    total = 0.0
    for places, weight in zip(api.phrase_locations(0), weights, strict=True):
        for _ in places:  # one by one, as FTS5 adds them
            total += weight
    return total
