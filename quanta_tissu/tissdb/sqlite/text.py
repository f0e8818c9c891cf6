"""Full text in SQLite: FTS5 without copies of the texts, which stand in the documents."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

import apsw

from quanta_tissu.tissdb.backend import Connection, Token
from quanta_tissu.tissdb.definitions import Filter, Index, Term, TextQuery

MOST_TERMS = 16
"""Words of a query that count: the rarest."""


class _Raw(Protocol):
    @property
    def raw(self) -> apsw.Connection: ...


class SqliteText:
    """As `TextEngine`."""

    def create(self, connection: Connection, index: Index) -> None:
        """As `TextEngine`."""
        columns = ", ".join(f"c{place}" for place in range(len(index.paths)))
        connection.run(
            f"CREATE VIRTUAL TABLE {table(index)} USING fts5"
            f"({columns}, content='', contentless_delete=1, tokenize='{' '.join(_tokenizer(index))}')"
        )

    def drop(self, connection: Connection, index: Index) -> None:
        """As `TextEngine`."""
        connection.run(f"DROP TABLE {table(index)}")

    def insert(self, connection: Connection, index: Index, rows: Sequence[tuple[int, Sequence[str]]]) -> None:
        """As `TextEngine`."""
        columns = ", ".join(f"c{place}" for place in range(len(index.paths)))
        marks = ", ?" * len(index.paths)
        connection.run_many(
            f"INSERT INTO {table(index)} (rowid, {columns}) VALUES (?{marks})",
            ((rid, *texts) for rid, texts in rows),
        )

    def delete(self, connection: Connection, index: Index, rids: Sequence[int]) -> None:
        """As `TextEngine`."""
        connection.run_many(f"DELETE FROM {table(index)} WHERE rowid = ?", ((rid,) for rid in rids))

    @property
    def ranker(self) -> str:
        """As `TextEngine`."""
        return "bm25"

    def search(
        self, connection: Connection, index: Index, query: TextQuery, limit: int, only: Filter | None
    ) -> list[tuple[int, float]]:
        """As `TextEngine`.

        A word that more than half of the documents have tells them apart by nothing (BM25 gives it 0.000001), and
        makes FTS5 rank them all. So it is left out, unless too few are found without it. Of very many words only
        the rarest count.
        """
        telling = _telling(connection, index, query)
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
        split = cast(_Raw, connection).raw.fts5_tokenizer(name, arguments)
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


def _telling(connection: Connection, index: Index, query: TextQuery) -> TextQuery:
    """A query without the wanted words that most documents have, and of many words with the rarest."""
    if query.required or len(query.wanted) < 2:
        return query
    name = table(index)
    [(averages,)] = connection.rows(f"SELECT block FROM {name}_data WHERE id = 1")
    total = first_number(averages)
    counts = {
        term: connection.rows(f"SELECT count(*) FROM {name} WHERE {name} MATCH ?", (_term(term),))[0][0]
        for term in query.wanted
    }
    telling = [term for term in query.wanted if 2 * counts[term] <= total]
    if len(telling) > MOST_TERMS:
        rarest = set(sorted(telling, key=lambda term: counts[term])[:MOST_TERMS])
        telling = [term for term in telling if term in rarest]
    return replace(query, wanted=tuple(telling)) if telling else query


def first_number(record: bytes) -> int:
    """The number of documents, which begins FTS5's record of averages: seven bits a byte, high ones first."""
    number = 0
    for byte in record:
        number = number << 7 | byte & 127
        if byte < 128:
            break
    return number


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
