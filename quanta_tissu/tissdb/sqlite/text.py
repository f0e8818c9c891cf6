"""Full text in SQLite: FTS5 without copies of the texts, which stand in the documents."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

import apsw
import numpy as np

from quanta_tissu.tissdb.backend import Connection, Token
from quanta_tissu.tissdb.definitions import Filter, Index, Term, TextQuery
from quanta_tissu.tissdb.sqlite.bm25 import best
from quanta_tissu.tissdb.sqlite.postings import Documents, PostingsCache, totals

MOST_TERMS = 16
"""Words of a query that count: the rarest."""

_MERGED_FROM, _MERGED_AT_ONCE = 16, 64
"""Parts of an index of one size: from how many on FTS5 joins them while documents come, a few pages at each
commit, and from how many on it joins them all before it goes on.

The fewer, the oftener a document is written again. By default (4 and 16) many small commits outrun the joining,
until one of them has to wait for all of it. With 8 and 16 the longest of 27 documents in 100,000 took 38 ms; with
16 and 64 it takes 15, a document a seventh less, and a search looks into 90 parts at most instead of 36, which is
not felt.
"""


class _Sqlite(Protocol):
    @property
    def raw(self) -> apsw.Connection: ...

    @property
    def postings(self) -> dict[int, PostingsCache] | None: ...


class SqliteText:
    """As `TextEngine`."""

    def create(self, connection: Connection, index: Index) -> None:
        """As `TextEngine`."""
        columns = ", ".join(f"c{place}" for place in range(len(index.paths)))
        connection.run(
            f"CREATE VIRTUAL TABLE {table(index)} USING fts5"
            f"({columns}, content='', contentless_delete=1, tokenize='{' '.join(_tokenizer(index))}')"
        )
        for setting, parts in (("automerge", _MERGED_FROM), ("crisismerge", _MERGED_AT_ONCE)):
            connection.run(f"INSERT INTO {table(index)} ({table(index)}, rank) VALUES (?, ?)", (setting, parts))
        _note_removals(connection, index)

    def drop(self, connection: Connection, index: Index) -> None:
        """As `TextEngine`."""
        connection.run(f"DROP TABLE {table(index)}")
        connection.run(f"DROP TABLE IF EXISTS {table(index)}_gone")

    def insert(self, connection: Connection, index: Index, rows: Sequence[tuple[int, Sequence[str]]]) -> None:
        """As `TextEngine`."""
        columns = ", ".join(f"c{place}" for place in range(len(index.paths)))
        marks = ", ?" * len(index.paths)
        connection.insert(
            f"{table(index)} (rowid, {columns})", f"(?{marks})", [(rid, *texts) for rid, texts in rows]
        )

    def delete(self, connection: Connection, index: Index, rids: Sequence[int]) -> None:
        """As `TextEngine`; postings in memory learn from a table which documents they are."""
        connection.run_many(f"DELETE FROM {table(index)} WHERE rowid = ?", ((rid,) for rid in rids))
        _note_removals(connection, index)
        connection.run_many(f"INSERT INTO {table(index)}_gone (rid) VALUES (?)", ((rid,) for rid in rids))

    @property
    def ranker(self) -> str:
        """As `TextEngine`."""
        return "bm25"

    def search(
        self, connection: Connection, index: Index, query: TextQuery, limit: int, only: Filter | None
    ) -> list[tuple[int, float]]:
        """As `TextEngine`.

        FTS5 looks up and ranks every document that has one of the words, which takes long where words are common.
        From the second search of a process on postings in memory do it, with the same result to the bit. FTS5
        itself answers the first one, those in the writer's transaction, and those of states that the memory has
        left behind.

        A word that more than half of the documents have tells them apart by nothing (BM25 gives it 0.000001). So
        it is left out, unless too few are found without it. Of very many words only the rarest count.
        """
        cache = _cache(connection, index)
        # Where required and wanted words stand together, FTS5 counts what is required once or twice, as it comes.
        mixed = bool(query.required and query.wanted)
        documents = cache.at(connection) if cache is not None and not mixed else None
        if cache is not None and documents is not None:
            found = _from_memory(connection, cache, documents, query, limit, only)
            if found is not None:
                return found
        telling = _telling_here(connection, index, query)
        found = self._search(connection, index, telling, limit, only)
        if len(found) < limit and telling != query:
            found = self._search(connection, index, query, limit, only)
        return found

    def _search(
        self, connection: Connection, index: Index, query: TextQuery, limit: int, only: Filter | None
    ) -> list[tuple[int, float]]:
        """Ordered by SQLite (`+rank`), which keeps the best: FTS5 would sort all that it finds, and places too."""
        name = table(index)
        weights = index.options.get("weights")
        rank = f" AND rank MATCH 'bm25({', '.join(map(str, weights))})'" if weights else ""
        among = "" if only is None else f" AND rowid IN ({only.sql})"
        rows = connection.rows(
            f"SELECT rowid, rank FROM {name} WHERE {name} MATCH ?{rank}{among} ORDER BY +rank, rowid LIMIT ?",
            (expression(query), *(only.parameters if only else ()), limit),
        )
        return [(rid, -rank) for rid, rank in rows]

    def tokens(self, connection: Connection, index: Index, texts: Sequence[str]) -> list[list[Token]]:
        """As `TextEngine`: FTS5's own tokenizer says it."""
        name, *arguments = _tokenizer(index)
        split = cast(_Sqlite, connection).raw.fts5_tokenizer(name, arguments)
        out = []
        for text in texts:
            data = text.encode()
            found: Any = split(data, apsw.FTS5_TOKENIZE_DOCUMENT, None, include_colocated=False)
            if len(data) == len(text):
                out.append([Token(start, end, stem) for start, end, stem in found])
            else:  # places are those of bytes
                place = {0: 0}
                at = 0
                for number, character in enumerate(text, 1):
                    at += len(character.encode())
                    place[at] = number
                out.append([Token(place[start], place[end], stem) for start, end, stem in found])
        return out

    def before_undo(self, connection: Connection, kept: Collection[int]) -> None:
        """As `TextEngine`: SQLite would keep a table whose making is undone in mind, and fail at all that follows.

        So it is dropped before. (FTS5 writes at each savepoint what it has collected, here into what is gone.)
        """
        names = {f"t_{number}" for number in kept}
        made = "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE %'"
        for (name,) in connection.rows(made):
            if name not in names:
                connection.run(f"DROP TABLE {name}")

    def rids(self, index: Index) -> str:
        """As `TextEngine`: FTS5 keeps the length of every document."""
        return f"SELECT id FROM {table(index)}_docsize"


def _tokenizer(index: Index) -> list[str]:
    words = ["unicode61", "remove_diacritics", "2"]
    return ["porter", *words] if index.options.get("stemming", True) else words


def _note_removals(connection: Connection, index: Index) -> None:
    """Have the table of what was removed; files of earlier versions have none."""
    connection.run(
        f"CREATE TABLE IF NOT EXISTS {table(index)}_gone (number INTEGER PRIMARY KEY, rid INTEGER NOT NULL) STRICT"
    )


def _cache(connection: Connection, index: Index) -> PostingsCache | None:
    """Postings of an index that readers of this process share; None where FTS5 must answer."""
    shared = cast(_Sqlite, connection).postings
    if shared is None or not connection.in_transaction:
        return None
    found = shared.get(index.number)
    if found is None and connection.dialect.has_tables(connection, f"{table(index)}_gone"):
        found = shared.setdefault(index.number, PostingsCache(index, table(index), _term))
    return found


def _from_memory(
    connection: Connection,
    cache: PostingsCache,
    documents: Documents,
    query: TextQuery,
    limit: int,
    only: Filter | None,
) -> list[tuple[int, float]] | None:
    """As `SqliteText.search`; None if another reader has moved the memory on to a later state meanwhile."""
    counts = {term: cache.count(connection, documents, term) for term in _told_apart(query)}
    known = {term: count for term, count in counts.items() if count is not None}
    if len(known) < len(counts):
        return None
    allowed = None
    if only is not None:
        rows = connection.rows(only.sql, only.parameters)
        allowed = documents.places(np.fromiter((rid for (rid,) in rows), np.int64, len(rows)))
    telling = _telling(query, documents.count, known)
    for asked in (telling, query):
        lists = cache.lists(connection, documents, (*asked.wanted, *asked.required, *asked.excluded))
        if lists is None:
            return None
        places, scores = best(asked, lists, documents.norms, documents.count, limit, allowed)
        if len(places) == limit or asked == query:
            break
    return list(zip(documents.rids[places].tolist(), scores.tolist(), strict=True))


def _telling_here(connection: Connection, index: Index, query: TextQuery) -> TextQuery:
    """As `_telling`, counted by FTS5."""
    name = table(index)
    counts = {
        term: connection.rows(f"SELECT count(*) FROM {name} WHERE {name} MATCH ?", (_term(term),))[0][0]
        for term in _told_apart(query)
    }
    if not counts:
        return query
    return _telling(query, totals(connection, name)[0], counts)


def _told_apart(query: TextQuery) -> tuple[Term, ...]:
    """Terms of a query that may be left out."""
    return query.wanted if not query.required and len(query.wanted) > 1 else ()


def _telling(query: TextQuery, total: int, counts: Mapping[Term, int]) -> TextQuery:
    """A query without the wanted words that most documents have, and of many words with the rarest."""
    telling = [term for term in counts if 2 * counts[term] <= total]
    if len(telling) > MOST_TERMS:
        rarest = set(sorted(telling, key=lambda term: counts[term])[:MOST_TERMS])
        telling = [term for term in telling if term in rarest]
    return replace(query, wanted=tuple(telling)) if telling else query


def expression(query: TextQuery) -> str:
    """A query in the language of FTS5."""
    required = [_term(term) for term in query.required]
    wanted = " OR ".join(_term(term) for term in query.wanted)
    if not required:
        text = f"({wanted})"
    elif wanted:
        # A document with the required terms alone is found too; the wanted ones raise its rank.
        all_required = " AND ".join(required)
        text = f"(({all_required}) OR (({all_required}) AND ({wanted})))"
    else:
        text = f"({' AND '.join(required)})"
    for term in query.excluded:
        text += f" NOT {_term(term)}"
    return text


def _term(term: Term) -> str:
    return '"' + " ".join(term.words) + '"' + (" *" if term.prefix else "")


def table(index: Index) -> str:
    """The table of an index."""
    return f"t_{index.number}"
