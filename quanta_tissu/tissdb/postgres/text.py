"""Full text in PostgreSQL: a table of `tsvector`s, under a GIN index.

What is a word is decided here, by the rules of the other engine (runs of letters and digits, without accents and
case), and not by PostgreSQL's parser, for which `a.b` is a host and `the` is nothing. PostgreSQL gives the stems,
keeps the words and their places, finds and ranks.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

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


_K1, _B = 1.2, 0.75
"""Of BM25, as in the other engine: how soon repetition counts no more, and how much a document's length counts."""

_LEAST_RARITY = 1e-6
"""Of a word that half the documents have, as in the other engine."""

_TF_SCALE = 1.64493406685
"""`ts_rank` of a word that occurs n times is (1 + 1/4 + ... + 1/n²) divided by this, the limit of the sum."""

_EVERY = ""
"""The word that every document has, among the stems."""


class PostgresText:
    """As `TextEngine`.

    PostgreSQL's own ranks do not know how rare a word is, so that `the` would count like `fox`. Here the documents
    of each stem are counted as they come and go, and `ts_rank` of each word of a query is weighted by rarity and
    length as in BM25. Where each word occurs once the sum is BM25; more occurrences count a little less.
    """

    ranker = "ts_rank_idf"

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
        connection.run(
            f"CREATE TABLE {table(index)} "
            "(rid bigint PRIMARY KEY, length bigint NOT NULL, words tsvector NOT NULL)"
        )
        connection.run(f"CREATE INDEX {table(index)}_words ON {table(index)} USING gin (words)")
        connection.run(
            f'CREATE TABLE {table(index)}_stems (stem text COLLATE "C" PRIMARY KEY, documents bigint NOT NULL, '
            "places bigint NOT NULL)"
        )

    def drop(self, connection: Connection, index: Index) -> None:
        """As `TextEngine`."""
        connection.run(f"DROP TABLE {table(index)}")
        connection.run(f"DROP TABLE {table(index)}_stems")

    def insert(self, connection: Connection, index: Index, rows: Sequence[tuple[int, Sequence[str]]]) -> None:
        """As `TextEngine`; how many documents have a stem is counted, too."""
        split = [(rid, [words_of(text) for text in texts]) for rid, texts in rows]
        stems = self._stemmed(connection, index, (word for _, texts in split for words in texts for word in words))
        labels = _labels(index)
        counts: Counter[str] = Counter()
        places = 0
        stored = []
        for rid, texts in split:
            found = _places(texts, labels, stems)
            length = sum(map(len, texts))
            counts.update(found.keys())
            places += length
            stored.append((rid, length, " ".join(f"'{stem}':{','.join(where)}" for stem, where in found.items())))
        connection.insert(f"{table(index)} (rid, length, words)", "(?, ?, ?::tsvector)", stored)
        known = sorted(counts)
        name = f"{table(index)}_stems"
        connection.run(
            f"INSERT INTO {name} (stem, documents, places) SELECT stem, n, 0 FROM unnest(?::text[], ?::bigint[]) "
            "AS new (stem, n) UNION ALL SELECT ?, ?, ? "
            f"ON CONFLICT (stem) DO UPDATE SET documents = {name}.documents + excluded.documents, "
            f"places = {name}.places + excluded.places",
            (known, [counts[stem] for stem in known], _EVERY, len(rows), places),
        )

    def delete(self, connection: Connection, index: Index, rids: Sequence[int]) -> None:
        """As `TextEngine`."""
        connection.run(
            f"WITH old AS (DELETE FROM {table(index)} WHERE rid = ANY(?::bigint[]) RETURNING length, words), "
            "gone AS (SELECT stem, count(*) AS documents, 0::bigint AS places "
            "FROM old, unnest(tsvector_to_array(words)) AS stem GROUP BY stem "
            "UNION ALL SELECT ?, count(*), coalesce(sum(length), 0)::bigint FROM old) "
            f"UPDATE {table(index)}_stems AS s SET documents = s.documents - gone.documents, "
            "places = s.places - gone.places FROM gone WHERE s.stem = gone.stem",
            (list(rids), _EVERY),
        )

    def search(
        self, connection: Connection, index: Index, query: TextQuery, limit: int, only: Filter | None
    ) -> list[tuple[int, float]]:
        """As `TextEngine`."""
        terms = (*query.wanted, *query.required, *query.excluded)
        split = {term: [part for word in term.words for part in words_of(word)] for term in terms}
        stems = self._stemmed(connection, index, (word for words in split.values() for word in words))
        lexemes = {term: _lexemes(term, [stems[word] for word in words]) for term, words in split.items()}

        def said(part: Sequence[Term]) -> list[str]:
            return [f"({' <-> '.join(lexemes[term])})" for term in part if lexemes[term]]

        match = " & ".join(said(query.required)) or " | ".join(said(query.wanted))
        if not match:
            return []
        match = " & ".join([f"({match})", *("!" + term for term in said(query.excluded))])
        average, rarity = self._rarity(
            connection, index, {one for term in (*query.wanted, *query.required) for one in lexemes[term]}
        )
        parts, parameters = [], []
        for term in (*query.wanted, *query.required):
            for one in lexemes[term]:
                rank = "?::float8 * ts_rank(?::real[], words, ?::tsquery)"
                parameters += [rarity[one], _weights(index), one]
                if len(lexemes[term]) > 1:
                    rank = f"CASE WHEN words @@ ?::tsquery THEN {rank} ELSE 0 END"
                    parameters.insert(-3, " <-> ".join(lexemes[term]))
                parts.append(rank)
        among = "" if only is None else f"AND rid IN ({only.sql}) "
        rows = connection.rows(
            f"SELECT rid, {_TF_SCALE} * ({' + '.join(parts)}) * {_K1 + 1} / "
            f"(1 + {_K1} * ({1 - _B} + {_B} * length / ?::float8)) AS rank FROM {table(index)} "
            f"WHERE words @@ ?::tsquery {among}ORDER BY rank DESC, rid LIMIT ?",
            (*parameters, average, match, *(only.parameters if only else ()), limit),
        )
        return [(rid, rank) for rid, rank in rows]

    def _rarity(
        self, connection: Connection, index: Index, lexemes: Collection[str]
    ) -> tuple[float, dict[str, float]]:
        """The mean length of a document, and the weight of each lexeme by the share of documents that have it."""
        name, asked = f"{table(index)}_stems", sorted(lexemes)
        rows = connection.rows(
            f"SELECT documents, places FROM {name} WHERE stem = ? UNION ALL SELECT * FROM ("
            "SELECT coalesce(sum(documents), 0)::bigint, place FROM unnest(?::text[], ?::text[]) WITH ORDINALITY "
            f"AS asked (first, last, place) LEFT JOIN {name} ON stem BETWEEN first AND last "
            "GROUP BY place ORDER BY place) AS found",
            (
                _EVERY,
                [one.split("'")[1] for one in asked],
                [one.split("'")[1] + ("\U0010ffff" if one.endswith(":*") else "") for one in asked],
            ),
        )
        if len(rows) == len(asked):
            return 1.0, dict.fromkeys(asked, 0.0)  # no document has been there yet
        (documents, places), *found = rows
        rarity = {}
        for one, (having, _) in zip(asked, found, strict=True):
            having = min(having, documents)
            rarity[one] = max(math.log((documents - having + 0.5) / (having + 0.5)), _LEAST_RARITY)
        return max(places / max(documents, 1), 1.0), rarity

    def tokens(self, connection: Connection, index: Index, texts: Sequence[str]) -> list[list[Token]]:
        """As `TextEngine`."""
        found = [[(match.span(), words_of(match[0])) for match in _WORD.finditer(text)] for text in texts]
        stems = self._stemmed(connection, index, (word for text in found for _, words in text for word in words))
        return [[Token(*span, stems[word]) for span, words in text for word in words] for text in found]

    def before_undo(self, connection: Connection, kept: Collection[int]) -> None:
        """As `TextEngine`: the server undoes all."""

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
    return [word[:_LONGEST] for word in _WORD.findall(_bare(text.lower()))]


def _bare(text: str) -> str:
    """Text without accents."""
    if text.isascii():
        return text
    return "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))


def table(index: Index) -> str:
    """The table of an index."""
    return f"t_{index.number}"


def _lexemes(term: Term, stems: Sequence[str]) -> list[str]:
    """Its words in the language of queries: `'fox'`, or `'fo':*` for a beginning."""
    found = [f"'{stem}'" for stem in stems]
    if term.prefix and found:
        found[-1] += ":*"
    return found


def _places(texts: Sequence[Sequence[str]], labels: Sequence[str], stems: dict[str, str]) -> dict[str, list[str]]:
    """Where each stem stands in a document, as PostgreSQL reads it: 3A, 101B."""
    found: dict[str, list[str]] = {}
    place = 1
    for words, label in zip(texts, labels, strict=True):
        for word in words:
            found.setdefault(stems[word], []).append(f"{min(place, _LAST_PLACE)}{label}")
            place += 1
        place += _FIELD_GAP
    return found


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
