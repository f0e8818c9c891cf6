"""Whatever is asked, the answer is a result or a QueryError."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import QueryError

VOCABULARY = r"""
SELECT FROM WHERE AND OR NOT GROUP BY HAVING ORDER LIMIT OFFSET UNION ALL DISTINCT JOIN LEFT INNER ON AS IN IS
NULL LIKE BETWEEN EXISTS MATCH NEAR SCORE COUNT SUM AVG MIN MAX STDDEV EXTRACT YEAR INTERVAL DAY NOW TIMESTAMP
DATE TIME TRUE FALSE ASC DESC ESCAPE EXPLAIN INSERT INTO VALUES UPDATE SET DELETE CASE WHEN THEN END CAST WITH
OVER PARTITION c a b _id a.b[0] x.* * ( ) [ ] { } , ; . + - / = <> < >= != : ? :p 1 2.5 1e5 'x' '%' "q" '' --
/* */ || :: -> @ # $1 PIVOT LATERAL UNNEST ARRAY MAP STRUCT DEFAULT RETURNING CURRENT_DATE CURRENT_USER
SESSION IF ANY SOME USING WINDOW MATCH_RECOGNIZE TABLE VIEW CREATE DROP ALTER MERGE CALL BEGIN COMMIT KILL
LOAD COPY PRAGMA SHOW USE GRANT ANALYZE
"""
WORDS = VOCABULARY.split()

STATEMENT = (
    "SELECT a, COUNT(DISTINCT b[1].x) AS n FROM c AS x WHERE x.a IN (1, 'z') AND NOT x.b LIKE 'q%' "
    "GROUP BY a HAVING n > 0 ORDER BY n DESC LIMIT 5 OFFSET 0"
)


@pytest.fixture(scope="module")
def shared():
    with tissdb.open(":memory:") as db:
        db.collection("c").insert({"a": 1, "b": [1, {"x": "y"}]})
        yield db


class UndoError(Exception):
    """Leaves a transaction without a trace."""


def ask(db, text, parameters=()):
    """Run a statement, and undo what it does."""
    with contextlib.suppress(QueryError, UndoError), db.transaction() as transaction:
        transaction.query(text, parameters)
        raise UndoError


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=25))
@example(["SELECT", "*", "FROM", "c", "MATCH_RECOGNIZE", "("])
def test_words_in_any_order(shared, words):
    ask(shared, " ".join(words))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), st.integers(0, 200), st.integers(0, 3))
def test_statements_with_words_put_in_or_taken_out(shared, words, place, cut):
    text = STATEMENT.split()
    place %= len(text)
    ask(shared, " ".join([*text[:place], *words, *text[place + cut :]]))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_any_text(shared, text):
    ask(shared, text)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=60),
    st.sampled_from(["SELECT ", "SELECT a FROM c WHERE ", "INSERT INTO c VALUES (", "UPDATE c SET "]),
)
def test_any_bytes_behind_a_beginning(shared, data, beginning):
    ask(shared, beginning + data.decode("latin-1"))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from("([{-+~'\"`"), st.integers(1, 70_000), st.sampled_from(["SELECT ", "SELECT a FROM c WHERE "])
)
def test_towers_of_one_character(shared, character, height, beginning):
    ask(shared, beginning + character * height)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(
        [
            "NOT",
            "CASE WHEN",
            "SELECT",
            "INTERVAL",
            "EXISTS",
            "CAST",
            "ARRAY",
            "x.",
            "a AND",
            "1 +",
            "a[",
            "a = 1 OR",
        ]
    ),
    st.integers(1, 4_000),
)
def test_towers_of_one_word(shared, word, height):
    ask(shared, "SELECT a FROM c WHERE " + f"{word} " * height + "a")


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary()
        | st.datetimes()
        | st.dates(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )
)
def test_any_parameter(shared, value):
    ask(shared, "SELECT a FROM c WHERE a = ?", [value])
    ask(shared, "SELECT a FROM c WHERE a IN :v OR b LIKE :v OR a BETWEEN :v AND :v", {"v": value})
    ask(shared, "SELECT a + :v AS x, :v AS y, EXTRACT(YEAR FROM :v) AS z FROM c ORDER BY x LIMIT 3", {"v": value})
