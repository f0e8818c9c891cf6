"""Full text in PostgreSQL: a table of `tsvector`s, under a GIN index.

What is a word is decided here, by the rules of the other engine (runs of letters and digits, without accents and
case), and not by PostgreSQL's parser, for which `a.b` is a host and `the` is nothing. PostgreSQL gives the stems,
keeps the words and their places, finds and ranks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.backend import Connection, Token
from quanta_tissu.tissdb.definitions import Filter, Index, Term, TextQuery

_WORD = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f])*")
"""With accents that stand for themselves."""

_LONGEST = 500
"""Characters of a word that count: a lexeme has at most 2,046 bytes."""

_FIELD_GAP = 100
"""Places between two fields, so that no phrase runs from one into the other."""

_LAST_PLACE = 16_383
_LABELS = "ABCD"
_STEMS_KEPT = 200_000

_FIND_DICTIONARY = (
    "SELECT 1 FROM pg_ts_dict WHERE dictname = '_porter' AND dictnamespace = current_schema()::regnamespace"
)


class PostgresText:
    """As `TextEngine`."""

    ranker = "ts_rank_cd"

    def __init__(self) -> None:
        self._stems: dict[str, str] = {}

    def create(self, connection: Connection, index: Index) -> None:
        """As `TextEngine`.

        Raises:
            DatabaseError: The fields have more different weights than PostgreSQL can tell apart.
        """
        _labels(index)
        if connection.row(_FIND_DICTIONARY) is None:
            # Without a list of stop words, unlike the server's own.
            connection.run("CREATE TEXT SEARCH DICTIONARY _porter (TEMPLATE = snowball, LANGUAGE = porter)")
        connection.run(f"CREATE TABLE {table(index)} (rid bigint PRIMARY KEY, words tsvector NOT NULL)")
        connection.run(f"CREATE INDEX {table(index)}_words ON {table(index)} USING gin (words)")

    def drop(self, connection: Connection, index: Index) -> None:
        """As `TextEngine`."""
        connection.run(f"DROP TABLE {table(index)}")

    def insert(self, connection: Connection, index: Index, rows: Sequence[tuple[int, Sequence[str]]]) -> None:
        """As `TextEngine`."""
        split = [(rid, [words_of(text) for text in texts]) for rid, texts in rows]
        stems = self._stemmed(connection, index, (word for _, texts in split for words in texts for word in words))
        labels = _labels(index)
        connection.run_many(
            f"INSERT INTO {table(index)} (rid, words) VALUES (?, ?::tsvector)",
            ((rid, _places(texts, labels, stems)) for rid, texts in split),
        )

    def delete(self, connection: Connection, index: Index, rids: Sequence[int]) -> None:
        """As `TextEngine`."""
        connection.run_many(f"DELETE FROM {table(index)} WHERE rid = ?", ((rid,) for rid in rids))

    def search(
        self, connection: Connection, index: Index, query: TextQuery, limit: int, only: Filter | None
    ) -> list[tuple[int, float]]:
        """As `TextEngine`; the rank divides by the logarithm of the document's length."""
        terms = (*query.wanted, *query.required, *query.excluded)
        split = {term: [words_of(word) for word in term.words] for term in terms}
        stems = self._stemmed(
            connection, index, (word for parts in split.values() for part in parts for word in part)
        )

        def said(term: Term) -> str:
            lexemes = [f"'{stems[word]}'" for part in split[term] for word in part]
            if term.prefix and lexemes:
                lexemes[-1] += ":*"
            return f"({' <-> '.join(lexemes)})" if lexemes else ""

        wanted, required, excluded = (
            [said(term) for term in part if said(term)] for part in (query.wanted, query.required, query.excluded)
        )
        match = " & ".join(required) or f"({' | '.join(wanted)})"
        if match == "()":
            return []
        match = " & ".join([match, *("!" + term for term in excluded)])
        among = "" if only is None else f"AND rid IN ({only.sql}) "
        rows = connection.rows(
            f"SELECT rid, ts_rank_cd(?::real[], words, ?::tsquery, 1)::float8 AS rank FROM {table(index)} "
            f"WHERE words @@ ?::tsquery {among}ORDER BY rank DESC, rid LIMIT ?",
            (
                _weights(index),
                " | ".join([*wanted, *required]),
                match,
                *(only.parameters if only else ()),
                limit,
            ),
        )
        return [(rid, rank) for rid, rank in rows]

    def tokens(self, connection: Connection, index: Index, texts: Sequence[str]) -> list[list[Token]]:
        """As `TextEngine`."""
        found = [[(match.span(), words_of(match[0])) for match in _WORD.finditer(text)] for text in texts]
        stems = self._stemmed(connection, index, (word for text in found for _, words in text for word in words))
        return [[Token(*span, stems[word]) for span, words in text for word in words] for text in found]

    def rids(self, index: Index) -> str:
        """As `TextEngine`."""
        return f"SELECT rid FROM {table(index)}"

    def _stemmed(self, connection: Connection, index: Index, words: Iterable[str]) -> dict[str, str]:
        """The stems of words, asked of the server where they are not known yet."""
        if not index.options.get("stemming", True):
            return {word: word for word in words}
        wanted = set(words)
        new = sorted(wanted - self._stems.keys())
        if len(self._stems) + len(new) > _STEMS_KEPT:
            self._stems = {}
            new = sorted(wanted)
        known = self._stems
        if new:
            stems = connection.rows(
                "SELECT (ts_lexize('_porter', word))[1] FROM unnest(?::text[]) AS word", (new,)
            )
            known.update((word, stem or word) for word, (stem,) in zip(new, stems, strict=True))
        return known


def words_of(text: str) -> list[str]:
    """Words of a text: runs of letters and digits, without accents and case."""
    text = text.lower()
    if not text.isascii():
        text = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return [word[:_LONGEST] for word in _WORD.findall(text)]


def table(index: Index) -> str:
    """The table of an index."""
    return f"t_{index.number}"


def _places(texts: Sequence[Sequence[str]], labels: Sequence[str], stems: dict[str, str]) -> str:
    """The words of a document and where they stand, as PostgreSQL reads it: `'fox':3A,7A 'run':101B`."""
    found: dict[str, list[str]] = {}
    place = 1
    for words, label in zip(texts, labels, strict=True):
        for word in words:
            found.setdefault(stems[word], []).append(f"{min(place, _LAST_PLACE)}{label}")
            place += 1
        place += _FIELD_GAP
    return " ".join(f"'{stem}':{','.join(places)}" for stem, places in found.items())


def _labels(index: Index) -> list[str]:
    """The label of each field: PostgreSQL knows four, one for each weight."""
    weights = index.options.get("weights") or [1.0] * len(index.paths)
    kinds = sorted(set(weights), reverse=True)
    if len(kinds) > len(_LABELS):
        raise DatabaseError(
            f"text index {index.name!r} has {len(kinds)} different weights; PostgreSQL can tell four apart",
            hint="give some fields the same weight",
        )
    return [_LABELS[kinds.index(weight)] for weight in weights]


def _weights(index: Index) -> list[float]:
    """The weights of the labels, as PostgreSQL wants them: of D first, 0 ... 1."""
    kinds = sorted(set(index.options.get("weights") or [1.0]), reverse=True)
    return [weight / kinds[0] for weight in (kinds + [kinds[-1]] * 3)[: len(_LABELS)]][::-1]
