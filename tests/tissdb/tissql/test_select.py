"""What queries mean, by example."""

from __future__ import annotations

import datetime as dt

import pytest

from quanta_tissu.errors import QueryError
from quanta_tissu.tissdb.tissql.run import Result

UTC = dt.UTC
NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=UTC)


def found(db, sql, *parameters, **named):
    """The rows of a query; values alone if it has one column."""
    rows = db.query(sql, named or parameters).rows
    return [row[0] for row in rows] if rows and len(rows[0]) == 1 else rows


@pytest.fixture
def people(db):
    people = db.collection("people")
    people.insert({"name": "Ada", "age": 36, "tags": ["maths", "engines"], "home": {"city": "London"}}, id="1")
    people.insert({"name": "Bob", "age": 41.5, "tags": [], "born": dt.date(1984, 5, 1)}, id="2")
    people.insert({"name": "Cy", "age": "old", "home": {"city": None}, "seen": NEW_YEAR}, id="3")
    people.insert({"name": "Dee", "age": None, "active": True, "home": "none"}, id="4")
    return db


def test_paths_reach_into_objects_and_lists(people):
    assert found(people, "SELECT home.city FROM people WHERE _id = '1'") == ["London"]
    assert found(people, "SELECT tags[1] FROM people WHERE tags[0] = 'maths'") == ["engines"]
    assert found(people, "SELECT people.home.city AS c FROM people WHERE people.name = 'Ada'") == ["London"]
    assert found(people, "SELECT p.name FROM people AS p WHERE p.tags[0] = 'maths'") == ["Ada"]


def test_a_path_through_something_else_finds_null(people):
    assert found(people, "SELECT home.city FROM people WHERE _id = '4'") == [None]
    assert found(people, "SELECT name[0] FROM people WHERE _id = '4'") == [None]
    assert found(people, "SELECT home[0] FROM people WHERE _id = '1'") == [None]


def test_names_that_are_no_plain_words_go_in_double_quotes(db):
    db.collection("c").insert({"last name": {"it's": 1, "a?b": 2}, "from": 3})
    assert db.query('SELECT "last name"."it\'s", "last name"."a?b", "from" FROM c').rows == [(1, 2, 3)]


def test_columns_are_named_after_alias_key_function_or_text(people):
    sql = "SELECT name, home.city, home.city AS c, age + 1, name, tags[0] FROM people"
    assert people.query(sql).columns == ("name", "city", "c", "age + 1", "name_2", "tags[0]")
    assert people.query("SELECT COUNT(*), MAX(age) FROM people").columns == ("count", "max")


def test_star_is_the_id_and_every_field_that_occurs(people):
    result = people.query("SELECT *, age AS years FROM people WHERE age < 40")
    assert result.columns == ("_id", "age", "home", "name", "tags", "years")
    assert list(result) == [
        {
            "_id": "1",
            "age": 36,
            "home": {"city": "London"},
            "name": "Ada",
            "tags": ["maths", "engines"],
            "years": 36,
        }
    ]


def test_what_the_database_keeps_of_a_document_can_be_asked_for(people):
    before = dt.datetime.now(UTC) - dt.timedelta(minutes=5)
    document = people.collection("people")["1"]
    [(id, revision, created, updated, expires)] = people.query(
        "SELECT _id, _rev, _created, _updated, _expires FROM people WHERE _id = '1' AND _created > ?", [before]
    ).rows
    assert (id, revision, expires) == ("1", document.revision, None)
    assert round(created.timestamp() * 1e6) == document.created
    assert updated == created


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("age > 36", "2"),
        ("age >= 36", "12"),
        ("age <> 36", "2"),
        ("NOT age = 36", "2"),
        ("age = 'old'", "3"),
        ("age < 'z'", "3"),
        ("age IS NULL", "4"),
        ("born IS NULL", "134"),
        ("age IS NOT NULL", "123"),
        ("EXISTS home.city", "13"),
        ("NOT EXISTS(home.city)", "24"),
        ("age IN (36, 'old', NULL)", "13"),
        ("age NOT IN (36, 40)", "2"),
        ("age NOT IN (36, 'old')", ""),
        ("age BETWEEN 36 AND 41.5", "12"),
        ("age NOT BETWEEN 37 AND 50", "1"),
        ("active", "4"),
        ("NOT active", ""),
        ("active = 1", ""),
        ("name LIKE '%e%'", "4"),
        ("name LIKE 'a%'", ""),
        ("name LIKE 'A_a'", "1"),
        ("name NOT LIKE '_d%'", "234"),
        ("age NOT LIKE 'x'", "3"),
        ("name = 'Ada' OR age > 40 AND NOT name = 'x'", "12"),
        ("NOT (name = 'Ada' OR age > 40)", ""),
        ("NOT (name = 'Ada' OR age IS NULL)", "23"),
        ("age = NULL", ""),
        ("TRUE", "1234"),
        ("FALSE", ""),
        ("home.city = 'London' AND tags[1] = 'engines'", "1"),
        ("seen = TIMESTAMP '2026-01-01T01:00:00+01:00'", "3"),
        ("seen < NOW()", "3"),
        ("seen > NOW() - INTERVAL '900 years'", "3"),
        ("born = DATE '1984-05-01'", "2"),
        ("born < TIMESTAMP '2026-01-01'", ""),
        ("tags = tags", ""),
        ("age + 0.5 = 42", "2"),
        ("EXTRACT(YEAR FROM seen) = 2026 OR EXTRACT(MONTH FROM born) = 5", "23"),
    ],
)
def test_where(people, condition, ids):
    assert found(people, f"SELECT _id FROM people WHERE {condition} ORDER BY _id") == list(ids)


def test_every_kind_of_value_can_be_a_parameter(db):
    values = [None, True, 7, -(2**63), 0.1, "x", b"\x00\xff", NEW_YEAR, dt.date(2026, 1, 1), dt.time(9, 30)]
    for place, value in enumerate(values):
        db.collection("c").insert({"v": value}, id=str(place))
    for place, value in enumerate(values[1:], 1):
        assert found(db, "SELECT _id FROM c WHERE v = ?", value) == [str(place)]
        assert found(db, "SELECT v FROM c WHERE v IN :values", values=[value, "other"]) == [value]
        assert found(db, "SELECT :value AS v FROM c LIMIT 1", value=value) == [value]
    assert found(db, "SELECT v FROM c WHERE v = ?", None) == []
    assert found(db, "SELECT ? FROM c LIMIT 1", [1, {"a": [NEW_YEAR]}]) == [[1, {"a": [NEW_YEAR]}]]


def test_parameters_are_values_and_never_text(db):
    db.collection("c").insert({"a": "' OR 1 = 1 --", "ab": 1}, id="1")
    db.collection("c").insert({"a": "x"}, id="2")
    assert found(db, "SELECT _id FROM c WHERE a = :a", a="' OR 1 = 1 --") == ["1"]
    assert found(db, "SELECT _id FROM c WHERE a = :a AND ab = :ab", a="' OR 1 = 1 --", ab=1) == ["1"]


def test_a_column_may_be_called_a_star_and_a_star_stands_once(db):
    db["notes"].insert_many([{"a": 1, "_id": "x"}])
    assert db.query('SELECT a AS "*" FROM notes').rows == [(1,)]
    assert db.query('SELECT a AS "*", * FROM notes') == Result(("*", "_id", "a"), [(1, "x", 1)])
    with pytest.raises(QueryError, match="stands alone"):
        db.query("SELECT *, * FROM notes")


@pytest.mark.parametrize("kind", ["value", "unique"])
def test_an_index_does_not_take_values_of_other_kinds_for_those_that_are_asked_for(db, kind):
    values = [1, True, 0, False, 1.0 - 1e-9, "1", "[1]", [1], {"x": 1}, '{"x":1}', dt.date(2026, 1, 1), None, 2]
    values += ['{"$date":"2026-01-01"}']
    db["notes"].insert_many({"_id": f"{place:02d}", "a": value} for place, value in enumerate(values))
    asked = [
        *(f"a {operator} ?" for operator in ("=", "<>", "<", "<=", ">", ">=", "LIKE", "NOT LIKE")),
        *(f"a {word}IN (?, ?)" for word in ("", "NOT ")),
    ]
    parameters = [one for one in values if not isinstance(one, list | dict)]

    def answers():
        for condition in asked:
            for value in parameters:
                if "LIKE" not in condition or isinstance(value, str):
                    yield db.query(f"SELECT _id FROM notes WHERE {condition}", [value] * condition.count("?")).rows

    without = list(map(sorted, answers()))
    db["notes"].create_index("by_a", fields="a", kind=kind)
    assert list(map(sorted, answers())) == without


def test_question_marks_count_in_the_order_in_which_they_stand(db):
    db.collection("c").insert({"a": 1, "b": 2, "c": 3})
    sql = (
        "SELECT ? AS x, a + ? AS y FROM c WHERE b BETWEEN ? AND ? AND c IN (?, ?) ORDER BY a + ? LIMIT ? OFFSET ?"
    )
    assert db.query(sql, ["x", 10, 1, 2, 3, 4, 5, 1, 0]).rows == [("x", 11)]


def test_the_order_of_kinds(db):
    values = [
        None, False, True, -1, 0.5, 2, "B", "a", "ä", "\uffff", "\U0001f600", dt.date(2026, 1, 1), dt.time(1),
        NEW_YEAR, b"a", [1], {"a": 1},
    ]  # fmt: skip
    for place, value in reversed(list(enumerate(values))):
        db.collection("c").insert({"v": value}, id=f"{place:02}")
    assert found(db, "SELECT v FROM c ORDER BY v") == values
    assert found(db, "SELECT v FROM c ORDER BY v DESC") == values[::-1]
    assert found(db, "SELECT v FROM c ORDER BY v LIMIT 3 OFFSET 2") == values[2:5]


def test_ties_are_decided_by_id_and_so_is_the_order_of_a_limit(db):
    for id in "cab":
        db.collection("c").insert({"v": 1}, id=id)
    assert found(db, "SELECT _id FROM c ORDER BY v DESC") == ["a", "b", "c"]
    assert found(db, "SELECT _id FROM c LIMIT 2") == ["a", "b"]


def test_arithmetic(db):
    db.collection("c").insert({"i": 7, "f": 0.5, "s": "7", "t": True, "big": 2**63 - 1, "huge": 1e308})

    def value(expression):
        [value] = found(db, f"SELECT {expression} FROM c")
        return value

    assert (value("i + 1"), type(value("i + 1"))) == (8, int)
    assert (value("i / 7"), type(value("i / 7"))) == (1.0, float)
    assert value("(i - 1) * f") == 3.0
    assert value("- i") == -7
    assert value("f + 0.1 + 0.2") == 0.5 + 0.1 + 0.2
    for nothing in ("i / 0", "i + s", "i + t", "i + missing", "huge * 10", "huge + huge", "- s"):
        assert value(nothing) is None
    assert value("big + 1") == float(2**63)
    assert value("big * 2 - big") == float(2**63)


def test_integers_and_floats_compare_exactly(db):
    for place, value in enumerate([2**53, float(2**53), 2**53 + 1, 2**63 - 1]):
        db.collection("c").insert({"v": value}, id=str(place))
    assert found(db, "SELECT _id FROM c WHERE v = ? ORDER BY _id", 2**53) == ["0", "1"]
    assert found(db, "SELECT _id FROM c WHERE v > ? ORDER BY _id", float(2**53)) == ["2", "3"]
    assert found(db, "SELECT _id FROM c WHERE v < ? ORDER BY _id", float(2**63)) == ["0", "1", "2", "3"]


def test_points_in_time_move_by_intervals(db):
    db.collection("c").insert({"d": dt.date(2024, 1, 31), "t": dt.time(23, 30), "m": NEW_YEAR, "x": 1})

    def value(expression):
        [value] = found(db, f"SELECT {expression} FROM c")
        return value

    assert value("d + INTERVAL '1 month'") == dt.date(2024, 2, 29)
    assert value("d + INTERVAL '1' YEAR - INTERVAL '2 weeks'") == dt.date(2025, 1, 17)
    assert value("d + INTERVAL '30 hours'") == dt.date(2024, 2, 1)
    assert value("t + INTERVAL '1 hour'") == dt.time(0, 30)
    assert value("INTERVAL '90 seconds' + m") == NEW_YEAR + dt.timedelta(seconds=90)
    assert value("m - INTERVAL '3000 years'") is None
    assert value("x + INTERVAL '1 day'") is None
    assert value("EXTRACT(HOUR FROM t) * 100 + EXTRACT(MINUTE FROM t)") == 2330
    assert value("EXTRACT(HOUR FROM d)") is None


def test_aggregates_take_notice_of_their_own_kinds(db):
    for place, value in enumerate([1, 2, 2.0, 4.5, "b", "a", None, True, [1], NEW_YEAR]):
        db.collection("c").insert({"v": value, "n": place})
    db.collection("c").insert({})
    [row] = db.query(
        "SELECT COUNT(*), COUNT(v), COUNT(DISTINCT v), SUM(v), AVG(v), MIN(v), MAX(v), STDDEV(v), SUM(n) FROM c"
    ).rows
    assert row[:5] == (11, 9, 8, 9.5, 2.375)
    assert row[5:7] == (1, NEW_YEAR)
    assert row[7] == pytest.approx(1.4930394055974097, rel=1e-15)
    assert (row[8], type(row[8])) == (45, int)
    assert db.query("SELECT COUNT(v), SUM(v), AVG(v), MIN(v), STDDEV(v) FROM c WHERE FALSE").rows == [
        (0, None, None, None, None)
    ]


def test_sums_are_of_decimals_as_they_are_written_and_do_not_depend_on_the_order(db):
    for value in (0.1, 0.2, 1e308, -1e308, 2**62, 2**62, -(2**62)):
        db.collection("c").insert({"v": value})
    assert found(db, "SELECT SUM(v) FROM c WHERE v < 1 AND v > 0") == [0.3]
    assert found(db, "SELECT SUM(v) FROM c") == [float(2**62) + 0.3]
    assert found(db, "SELECT SUM(v) FROM c WHERE v = ?", 2**62) == [float(2**63)]
    assert found(db, "SELECT SUM(v * 1.5) FROM c WHERE v > 1e300 ") == [1.5e308]


def test_groups(db):
    for team, points in [("a", 1), ("a", 3), ("b", 2), (None, 5), (7, 1), (7.0, 1)]:
        db.collection("c").insert({"team": team, "points": points})
    sql = "SELECT team, SUM(points) AS total FROM c GROUP BY team ORDER BY team"
    assert db.query(sql).rows == [(None, 5), (7, 2), ("a", 4), ("b", 2)]
    assert found(db, "SELECT team FROM c GROUP BY team HAVING COUNT(*) > 1 AND MAX(points) > 2") == ["a"]
    sql = "SELECT team AS t, AVG(points) + 1 AS m FROM c GROUP BY t HAVING m > 2.5 ORDER BY m DESC, t LIMIT 2"
    assert db.query(sql).rows == [(None, 6.0), ("a", 3.0)]
    assert found(db, "SELECT points * 2 FROM c GROUP BY points * 2 ORDER BY points * 2") == [2, 4, 6, 10]


def test_distinct_and_union(db):
    for value in (1, 1.0, "1", None, [1], [1]):
        db.collection("c").insert({"v": value})
        db.collection("d").insert({"w": value})
    assert found(db, "SELECT DISTINCT v FROM c ORDER BY v") == [None, 1, "1", [1]]
    assert found(db, "SELECT v FROM c UNION SELECT w FROM d ORDER BY v DESC LIMIT 2") == [[1], "1"]
    assert len(found(db, "SELECT v FROM c UNION ALL SELECT w FROM d")) == 12
    assert found(db, "SELECT COUNT(*) AS n FROM c UNION ALL SELECT w FROM d WHERE w = '1' ORDER BY n") == [6, "1"]


def test_unions_write_whole_numbers_alike_so_that_the_order_of_equal_rows_is_settled(db):
    for value in (float(2**53), 2**53, 0.5, 2.0):
        db.collection("c").insert({"v": value})
    rows = found(db, "SELECT v FROM c UNION ALL SELECT v FROM c WHERE FALSE ORDER BY v")
    assert [(value, type(value)) for value in rows] == [(0.5, float), (2, int), (2**53, int), (2**53, int)]


def test_joins(people):
    orders = people.collection("orders")
    for id, (who, amount) in enumerate([("1", 5), ("1", 7), ("2", 1), ("9", 3), (1, 4)]):
        orders.insert({"who": who, "amount": amount}, id=str(id))
    sql = "SELECT p.name, o.amount FROM people AS p JOIN orders AS o ON o.who = p._id ORDER BY o.amount"
    assert people.query(sql).rows == [("Bob", 1), ("Ada", 5), ("Ada", 7)]
    sql = (
        "SELECT p.name, SUM(o.amount) AS total FROM people AS p LEFT JOIN orders AS o ON p._id = o.who "
        "GROUP BY p.name HAVING p.name <> 'Cy' ORDER BY total DESC"
    )
    assert people.query(sql).rows == [("Ada", 12), ("Bob", 1), ("Dee", None)]
    sql = (
        "SELECT p.name FROM people AS p LEFT JOIN orders AS o ON p._id = o.who WHERE o._id IS NULL ORDER BY p.name"
    )
    assert found(people, sql) == ["Cy", "Dee"]
    sql = (
        "SELECT a.amount, c.name FROM orders AS a JOIN orders AS b ON b.who = a.who AND b.amount = 7 "
        "JOIN people AS c ON c._id = b.who ORDER BY a.amount"
    )
    assert people.query(sql).rows == [(5, "Ada"), (7, "Ada")]


def test_what_has_expired_is_not_there(db):
    past = dt.datetime(2000, 1, 1, tzinfo=UTC)
    db.collection("c").insert({"a": 1}, id="gone", expires=past)
    db.collection("d").insert({"a": 1}, id="here", expires=dt.timedelta(hours=1))
    db.collection("d").insert({"a": 1}, id="gone", expires=past)
    assert found(db, "SELECT _id FROM c") == []
    assert found(db, "SELECT COUNT(*) FROM c") == [0]
    assert found(db, "SELECT d._id FROM d LEFT JOIN c ON c.a = d.a WHERE c._id IS NULL") == ["here"]
    assert db.query("DELETE FROM c").changed == 0


def test_transactions_and_views_can_be_asked_too(db):
    db.collection("c").insert({"a": 1})
    with db.view() as view:
        with db.transaction() as transaction:
            transaction.query("UPDATE c SET a = a + 1")
            assert transaction.query("SELECT a FROM c").rows == [(2,)]
        assert view.query("SELECT a FROM c").rows == [(1,)]
    assert db.query("SELECT a FROM c").rows == [(2,)]


def test_the_same_statement_serves_parameters_of_all_kinds(db):
    db.collection("c").insert({"a": 1}, id="n")
    db.collection("c").insert({"a": "1"}, id="s")
    for value, ids in [(1, ["n"]), ("1", ["s"]), (True, []), (None, []), (1.0, ["n"])]:
        assert found(db, "SELECT _id FROM c WHERE a = ?", value) == ids


def test_names_that_differ_in_case_are_different(db):
    db.collection("Notes").insert({"Title": 1, "title": 2})
    assert db.query("select Title, title from Notes").rows == [(1, 2)]


def test_comments_and_layout_do_not_matter(db):
    db.collection("c").insert({"a": 1})
    assert found(db, "SELECT a -- the field\n  FROM /* the\ncollection */ c\n;") == [1]


def test_text_is_lowered_raised_measured_and_joined(db):
    db["c"].insert({"a": "Äb C", "n": 7})
    sql = "SELECT LOWER(a), UPPER(a), LENGTH(a), a || '!' || a, LOWER(n), LENGTH(b), n || 'x' FROM c"
    assert db.query(sql).rows == [("Äb c", "ÄB C", 4, "Äb C!Äb C", None, None, None)]
    assert db.query("SELECT _id FROM c WHERE LOWER(a) LIKE '%b c'").rows


def test_the_first_that_is_not_null(db):
    db["c"].insert_many([{"_id": "1", "a": 1}, {"_id": "2", "a": None, "b": [2]}, {"_id": "3"}])
    assert db.query("SELECT COALESCE(a, b, 'none') FROM c ORDER BY _id").rows == [(1,), ([2],), ("none",)]
    assert db.query("SELECT COALESCE(a, 0) AS x, COUNT(*) FROM c GROUP BY COALESCE(a, 0) ORDER BY x").rows == [
        (0, 2),
        (1, 1),
    ]
    assert db.query("UPDATE c SET a = COALESCE(a, 0) + 1").changed == 3
    assert db.query("SELECT a FROM c ORDER BY _id").rows == [(2,), (1,), (1,)]


def test_case_chooses_by_conditions_or_by_a_value(db):
    db["c"].insert_many([{"_id": str(n), "n": n} for n in range(4)])
    sql = "SELECT CASE WHEN n > 2 THEN 'many' WHEN n = 1 THEN TRUE END FROM c ORDER BY _id"
    assert db.query(sql).rows == [(None,), (True,), (None,), ("many",)]
    assert db.query(sql).columns == ("case",)
    assert db.query("SELECT _id FROM c WHERE CASE WHEN n > 2 THEN TRUE END").rows == [("3",)]
    assert db.query("SELECT SUM(CASE n WHEN 1 THEN 10 WHEN 2 THEN 5 ELSE 0 END) FROM c").rows == [(15,)]


def test_a_name_that_begins_like_another_is_another(db):
    """Where parameters are put into the statement as text, :a is also replaced in :ab, and True is a name."""
    db["c"].insert({"a": 1, "ab": 2, "t": True})
    given = {"a": 1, "ab": 2, "abc": True}
    assert db.query("SELECT a FROM c WHERE a = :a AND ab = :ab AND t = :abc", given).rows == [(1,)]
    assert db.query("SELECT a FROM c WHERE a = :ab", {"ab": 1}).rows == [(1,)]
    for flag, found in ((True, 1), (False, 0)):
        assert len(db.query("SELECT a FROM c WHERE t = ?", [flag])) == found
    assert db.query("SELECT :x AS x FROM c", {"x": "1 OR :a ? --"}).rows == [("1 OR :a ? --",)]
