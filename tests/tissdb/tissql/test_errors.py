"""What is no TissQL is refused, and the error shows where."""

from __future__ import annotations

import datetime as dt

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import DatabaseError, QueryError


@pytest.fixture(scope="module")
def db():
    with tissdb.open(":memory:") as opened:
        opened.collection("c").insert({"a": 1})
        opened.collection("c").create_index("words", kind="text")
        opened.collection("c").create_index("near", kind="vector", dimension=2)
        yield opened


def refused(db, sql, parameters=()):
    with pytest.raises(QueryError) as caught:
        db.query(sql, parameters)
    return caught.value


def test_an_error_shows_the_statement_the_place_and_what_to_do(db):
    error = refused(db, "SELECT a\nFROM c\n  WHERE b = 1 AND a LIKE 'x' OR foo(a) = 2")
    assert str(error) == (
        "there is no function FOO of this kind\n"
        "    WHERE b = 1 AND a LIKE 'x' OR foo(a) = 2\n"
        "                                  ^^^^^\n"
        "  help: COUNT, SUM, AVG, MIN, MAX, STDDEV, EXTRACT, NOW, SCORE, COALESCE, LOWER, UPPER, LENGTH"
    )
    assert (error.line, error.column) == (3, 33)
    assert error.statement[error.start : error.end] == "foo(a"


def test_of_a_long_line_the_neighbourhood_is_shown(db):
    error = refused(db, "SELECT a FROM c WHERE " + "a = 1 AND " * 30 + "b ILIKE 'x'")
    shown, caret = error.message.split("\n")[1:]
    assert len(shown) < 110
    assert shown[caret.index("^") :].startswith("b ILIKE 'x'")


@pytest.mark.parametrize(
    ("sql", "place", "said"),
    [
        ("", "", "there is no statement"),
        ("  ;", "", "there is no statement"),
        ("SELEC a FROM c", "SELEC", "begins no statement"),
        ("DROP TABLE c", "DROP", "'DROP' begins no statement"),
        ("PRAGMA user_version", "PRAGMA", "begins no statement"),
        ("ATTACH 'x' AS y", "ATTACH", "begins no statement"),
        ("SELECT a FROM c; SELECT a FROM c", "SELECT", "more than one statement"),
        ("SELECT a FROM c WHERE b = 'x", "", "not closed"),
        ("SELECT a FROM c WHERE (a = 1", "1", "expecting \\)"),
        ("SELECT a FROM c WHERE a ==", "", "missing"),
        ("SELECT a, FROM c", ",", "nothing comes after this comma"),
        ("SELECT a FROM c WHERE a IN (1,)", ",", "nothing comes after this comma"),
        ("SELECT a", "a", "FROM is missing"),
        ("SELECT a FROM nope", "nope", "no collection 'nope'"),
        ("SELECT a FROM c WHERE COUNT(*) > 1", "", "no aggregate in WHERE"),
        ("SELECT SUM(COUNT(a)) FROM c", "a", "aggregate of an aggregate"),
        ("SELECT a, COUNT(*) FROM c", "a", "rows of a group may differ"),
        ("SELECT a FROM c GROUP BY b HAVING a = 1", "a", "rows of a group may differ"),
        ("SELECT *, COUNT(*) FROM c", "", "no meaning in a grouped"),
        ("SELECT DISTINCT * FROM c", "", "would be \\*"),
        ("SELECT DISTINCT a FROM c ORDER BY b", "b", "sorted by what is selected"),
        ("SELECT a FROM c ORDER BY 1", "1", "numbers of columns"),
        ("SELECT a FROM c ORDER BY a NULLS LAST", "a", "null comes first"),
        ("SELECT a FROM c UNION SELECT a, b FROM c", "a, b", "2 columns"),
        ("SELECT * FROM c UNION SELECT * FROM c", "", "cannot have \\*"),
        ("SELECT a FROM c UNION SELECT a FROM c ORDER BY b", "b", "names of its columns"),
        ("(SELECT a FROM c LIMIT 1) UNION SELECT a FROM c", "a", "behind all of it"),
        ("SELECT a FROM c JOIN d ON c.a = d.a", "a", "of which collection"),
        ("SELECT c.a FROM c JOIN d ON c.a > d.a", "c.a", "joined on equality"),
        ("SELECT c.a FROM c, d", "d", "needs a condition"),
        ("SELECT c.a FROM c JOIN c ON c.a = c.a", "c", "same name"),
        ("SELECT x.a FROM c AS x RIGHT JOIN c AS y ON x.a = y.a", "", "RIGHT JOIN is not supported"),
        ("SELECT * FROM c AS x JOIN c AS y ON x.a = y.a", "", "stands alone"),
        ("SELECT d.* FROM c", "d", "no source 'd'"),
        ("SELECT a FROM (SELECT a FROM c)", "a", "no collection"),
        ("SELECT a FROM c WHERE a IN (SELECT a FROM c)", "a", "QUERY is not supported"),
        ("WITH x AS (SELECT a FROM c) SELECT a FROM x", "x", "WITH is not supported"),
        ("SELECT a FROM c FOR UPDATE", "", "LOCKS is not supported"),
        ("SELECT COUNT(*) OVER () FROM c", "", "no expression"),
        ("SELECT CASE WHEN a + 1 THEN 1 END FROM c", "a + 1", "this is no condition"),
        ("SELECT COALESCE(COALESCE(COALESCE(COALESCE(a)))) FROM c", "a", "nested more than 3 levels"),
        ("SELECT CASE WHEN MATCH(words, 'x') THEN 1 END FROM c", "words, 'x'", "MATCH stands in WHERE"),
        ("SELECT a FROM c WHERE MATCH(d.words, 'x')", "d.words", "of which collection is this index"),
        ("SELECT x.a FROM c AS x JOIN c AS y ON x.a = y.a WHERE MATCH(words, 'x')", "words", "of which"),
        ("SELECT FROM c", "", "nothing is selected"),
        ("SELECT COUNT() FROM c", "", "COUNT of what"),
        ("SELECT LENGTH(a, b) FROM c", "b", "not supported here"),
        ("SELECT CONCAT(a, b) FROM c", "CONCAT(a, b", "no expression"),
        ("SELECT a % 2 FROM c", "a % 2", "no expression"),
        ("SELECT CAST(a AS INT) FROM c", "a", "not converted"),
        ("SELECT a > 1 FROM c", "a > 1", "no expression"),
        ("SELECT a FROM c WHERE a", None, None),
        ("SELECT a FROM c WHERE a + 1", "a + 1", "this is no condition"),
        ("SELECT a FROM c WHERE a IS TRUE", "a", "IS is for NULL"),
        ("SELECT a FROM c WHERE a ILIKE 'x'", "a ILIKE 'x'", "no expression"),
        ("SELECT a FROM c WHERE a LIKE b", "b", "only values can stand here"),
        ("SELECT a FROM c WHERE a LIKE 'x' ESCAPE 'xy'", "'xy'", "one character"),
        ("SELECT a FROM c WHERE a IN (b)", "b", "only values"),
        ("SELECT a FROM c WHERE EXISTS (1)", "1", "path of a field"),
        ("SELECT a FROM c LIMIT a", "a", "only values"),
        ("SELECT a FROM c LIMIT 'x'", "", "no number of rows"),
        ("SELECT a[-1] FROM c", "a", "number from 0"),
        ("SELECT a['x'] FROM c", "a", "number from 0"),
        ('SELECT a."$date" FROM c', '"$date"', "do not begin with \\$"),
        ("SELECT _id.x FROM c", "_id.x", "has no fields"),
        ("SELECT 9223372036854775808 FROM c", "9223372036854775808", "does not fit 64 bits"),
        ("SELECT 1e999 FROM c", "1e999", "not a number of JSON"),
        ("SELECT DATE '2026-02-30' FROM c", "'2026-02-30'", "is no date"),
        ("SELECT TIME '09:30Z' FROM c", "'09:30Z'", "with a zone"),
        ("SELECT a + INTERVAL '3 fortnights' FROM c", "", "no interval"),
        ("SELECT a + INTERVAL '999999999 weeks' FROM c", "", "longer than 10,000 years"),
        ("SELECT INTERVAL '3 days' + INTERVAL '1 day' FROM c", "", "no expression"),
        ("SELECT EXTRACT(CENTURY FROM a) FROM c", "a", "no part of a point in time"),
        ("SELECT SUM(DISTINCT a) FROM c", "a", "DISTINCT stands in COUNT"),
        ("SELECT SCORE() FROM c", "", "a score of what"),
        ("SELECT MATCH(words, 'x') FROM c", "words", "MATCH is a condition"),
        ("SELECT a FROM c WHERE NEAR(near, [1]) OR a = 1", "near, [1", "joined to other conditions by AND"),
        ("SELECT a FROM c WHERE NOT NEAR(near, [1])", "near, [1", "joined to other conditions by AND"),
        ("SELECT a, COUNT(*) FROM c GROUP BY a HAVING MATCH(words, 'x')", "words, 'x'", "MATCH stands in WHERE"),
        ("SELECT a FROM c WHERE NEAR(near, [1]) AND NEAR(near, [2])", "near, [2", "a second one"),
        ("SELECT SCORE() FROM c WHERE MATCH(words, 'x') OR MATCH(words, 'y')", "", "a score of what"),
        ("SELECT a FROM c WHERE MATCH(words)", "words", "does not take this"),
        ("SELECT a FROM c WHERE MATCH(near, 'x')", "near, 'x'", "no text index 'near'"),
        ("SELECT a FROM c WHERE MATCH(words, '')", "words, ''", "no word"),
        ("SELECT a FROM c WHERE NEAR(near, [1, 2, 3])", "near, [1, 2, 3", "shape"),
        ("SELECT a FROM c WHERE NEAR(near, 'x')", "near, 'x'", "is no vector"),
        ("SELECT a FROM c WHERE NEAR(near, [1, 2], 0)", "near, [1, 2], 0", "no number of documents"),
        ("SELECT a FROM c WHERE NEAR(words, [1, 2])", "words, [1, 2", "no vector index 'words'"),
        ("SELECT x.a FROM c AS x JOIN c AS y ON x.a = y.a WHERE NEAR(x.near, [1])", "near, [1", "one collection"),
        ("INSERT c (a) VALUES (1)", "c", "INTO is missing"),
        ("INSERT INTO c (a, b) VALUES (1)", "1", "1 values for 2 fields"),
        ("INSERT INTO c (a, a) VALUES (1, 2)", "a", "named twice"),
        ("INSERT INTO c (a) VALUES (b)", "b", "only values"),
        ("INSERT INTO c (_rev) VALUES (1)", "_rev", "kept by the database"),
        ("INSERT INTO c (a) SELECT a FROM c", "a FROM c", "VALUES is missing"),
        ("INSERT INTO c VALUES (1)", "c", "a document is an object"),
        ("INSERT INTO c VALUES (1, 2)", "1, 2", "one object"),
        ("INSERT INTO c VALUES ({'a': 1, 'a': 2})", "", "there twice"),
        ("UPDATE c SET _id = 'x'", "_id", "cannot be set"),
        ("UPDATE c SET a = 1, a.b = 2", "a.b", "set twice"),
        ("UPDATE c SET a = SUM(b)", "b", "no aggregate"),
        ("DELETE FROM c WHERE COUNT(*) > 1", "", "no aggregate"),
        ("DELETE FROM c USING d", "c USING d", "USING is not supported"),
        ("DELETE c", "c", "not supported"),
        ("EXPLAIN INSERT INTO c (a) VALUES (1)", "", "looks for nothing"),
        ("EXPLAIN EXPLAIN SELECT a FROM c", "EXPLAIN", "begins no statement"),
    ],
)
def test_refused(db, sql, place, said):
    if said is None:
        db.query(sql)
        return
    with pytest.raises(QueryError, match=said) as caught:
        db.query(sql)
    error = caught.value
    if place and error.statement is not None:
        assert place in error.statement[error.start : error.end]
    assert str(error).count("\n") <= 4


@pytest.mark.parametrize(
    ("sql", "parameters", "said"),
    [
        ("SELECT a FROM c WHERE a = ?", (), "there are 1 \\? and 0 values"),
        ("SELECT a FROM c WHERE a = ?", (1, 2), "value 2 is given"),
        ("SELECT a FROM c WHERE a = :x", {}, "no value for :x"),
        ("SELECT a FROM c WHERE a = :x", {"x": 1, "y": 2}, "value for :y is given"),
        ("SELECT a FROM c WHERE a = :x", (1,), "no value for :x"),
        ("SELECT a FROM c WHERE a = ?", {"x": 1}, "1 \\? and 0 values"),
        ("SELECT a FROM c WHERE a = :x AND b = ?", (1,), "both \\? and :name"),
        ("SELECT a FROM c WHERE a = ?", "x", "parameters are a str"),
        ("SELECT a FROM c WHERE a = ?", 5, "parameters are a int"),
        ("SELECT a FROM c WHERE a = ?", (float("nan"),), "parameter 1 = nan is not a number"),
        ("SELECT a FROM c WHERE a = ?", (2**63,), "parameter 1 = 9223372036854775808 does not fit 64 bits"),
        ("SELECT a FROM c WHERE a = ?", (object(),), "cannot be stored"),
        ("SELECT a FROM c WHERE a = ?", (dt.datetime(2026, 1, 1),), "no time zone"),
        ("SELECT a FROM c WHERE a = :x", {"x": "\0"}, "NUL"),
        ("SELECT a FROM c WHERE a = :x", {"x": "\ud800"}, "surrogate"),
        ("SELECT a FROM c WHERE a IN ?", ([1] * 1001,), "IN of 1,001 values"),
        ("SELECT a FROM c LIMIT ?", (-1,), "LIMIT -1 is no number of rows"),
        ("SELECT a FROM c LIMIT ?", (True,), "LIMIT True"),
        ("SELECT a FROM c OFFSET ?", (1.5,), "OFFSET 1.5"),
        ("SELECT a FROM c WHERE NEAR(near, ?)", (None,), "None is no vector"),
    ],
)
def test_refused_parameters(db, sql, parameters, said):
    with pytest.raises(QueryError, match=said):
        db.query(sql, parameters)


def test_a_time_outside_of_the_calendar_in_utc_is_refused(db):
    early = dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14)))
    with pytest.raises(DatabaseError):
        db.query("SELECT a FROM c WHERE a = ?", [early])
    with pytest.raises(QueryError, match="year"):
        db.query("SELECT a FROM c WHERE a = TIMESTAMP '0001-01-01T00:00:00+14:00'")


def test_limits(db):
    deep = "(" * 32 + "1" + ")" * 32
    assert db.query(f"SELECT {deep} AS x FROM c").rows == [(1,)]
    for text in (
        f"SELECT ({deep}) FROM c",
        "SELECT a FROM c WHERE " + "NOT " * 70 + "a",
        "SELECT " + "- " * 70 + "1 FROM c",
        "SELECT " + "[" * 40 + "1" + "]" * 40 + " FROM c",
        "SELECT " + "(" * 30_000,
        "SELECT a FROM c WHERE " + "NOT " * 10_000,
        "SELECT a FROM c WHERE a = 1" + " + 1" * 200,
    ):
        assert "nested" in refused(db, text).what
    assert "limit is 65,536" in refused(db, "SELECT '" + "ä" * 40_000 + "' FROM c").what
    assert "limit is 1,000" in refused(db, f"SELECT a FROM c WHERE a IN ({'1, ' * 1000}1)").what
    assert "limit is 1,000" in refused(db, "SELECT a FROM c WHERE a = 1" + " OR a = 1" * 1000).what
    assert "200 " in refused(db, f"SELECT {'a, ' * 200}a FROM c").what + " "
    assert (
        "aggregates"
        in refused(
            db,
            "SELECT "
            + " + ".join(f"SUM(a{n})" for n in range(90))
            + ", "
            + ", ".join(" + ".join(f"SUM(b{n})" for n in range(k, k + 60)) for k in (0, 60))
            + " FROM c",
        ).what
    )
    assert "intervals" in refused(db, "SELECT a" + " + INTERVAL '1 day'" * 5 + " FROM c").what
    many = " OR ".join(["a IN ?"] * 40)
    assert "values" in refused(db, f"SELECT a FROM c WHERE {many}", [list(range(1000))] * 40).what
    assert "joins" in refused(db, "SELECT a.x FROM a" + " JOIN b ON a.x = b.x" * 9).what
    assert "unions" in refused(db, "SELECT a FROM c" + " UNION SELECT a FROM c" * 33).what
    assert db.query("SELECT a FROM c WHERE a = 1" + " OR a = 1" * 999).rows == [(1,)]


def test_statements_are_text(db):
    assert "text, not NoneType" in refused(db, None).what
    assert "NUL" in refused(db, "SELECT \0 FROM c").what
    assert "surrogate" in refused(db, "SELECT '\ud800' FROM c").what


def test_an_idempotency_key_is_for_statements_that_write(db):
    with pytest.raises(QueryError, match="statements that write"):
        db.query("SELECT a FROM c", key="k")


def test_views_cannot_be_written(db):
    with db.view() as view, pytest.raises(DatabaseError, match="cannot be written"):
        view.query("DELETE FROM c")
