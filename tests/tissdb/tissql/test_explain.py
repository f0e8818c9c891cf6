"""EXPLAIN shows that indexes are used."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def many(db):
    """Enough documents that an index is worth while."""
    notes = db.collection("notes")
    notes.insert_many({"_id": str(n), "n": n, "who": {"name": f"p{n}"}, "tags": [n]} for n in range(2000))
    notes.create_index("numbers", fields="n")
    notes.create_index("names", fields="who.name")
    notes.create_index("first", fields="tags[0]")
    if not str(db.url).startswith(("/", ":")):
        db.write(lambda changes: changes.connection.run("ANALYZE"))
    return db


@pytest.mark.parametrize(
    ("condition", "parameters", "index"),
    [
        ("n = 5", (), "numbers"),
        ("n = ?", (5,), "numbers"),
        ("n BETWEEN ? AND ?", (5, 7), "numbers"),
        ("n IN (1, 2, 3)", (), "numbers"),
        ("n IN ?", ([1, 2],), "numbers"),
        ("who.name = 'p7'", (), "names"),
        ("tags[0] = 7", (), "first"),
        ("n > 1990 AND who.name LIKE '%p'", (), "numbers"),
    ],
)
def test_conditions_use_indexes(many, condition, parameters, index):
    plan = "\n".join(many.explain(f"SELECT who FROM notes WHERE {condition}", parameters))
    assert index in plan
    result = many.query(f"EXPLAIN SELECT who FROM notes WHERE {condition}", parameters)
    assert result.columns == ("plan",)
    shown = "\n".join(row[0] for row in result.rows)
    assert re.sub(r"\d{16}", "now", shown) == re.sub(r"\d{16}", "now", plan)


def test_sorting_uses_indexes_where_the_kind_is_known(many):
    sql = "SELECT n FROM notes WHERE n >= ? ORDER BY n LIMIT 2"
    assert many.query(sql, [5]).rows == [(5,), (6,)]
    plan = "\n".join(many.explain(sql, [5]))
    assert "numbers" in plan
    if "SEARCH" in plan:  # SQLite: what remains to be sorted are ties
        assert "TEMP B-TREE FOR LAST TERM" in plan
    many["notes"].insert({"n": "text"}, id="text")
    assert many.query("SELECT n FROM notes WHERE n > 1990 ORDER BY n DESC LIMIT 1").rows == [(1999,)]
    assert many.query("SELECT n FROM notes WHERE n > '' ORDER BY n LIMIT 1").rows == [("text",)]


def test_joins_use_indexes(many):
    sql = "SELECT a.n FROM notes AS a JOIN notes AS b ON b.n = a.tags[0] WHERE a.n = 5"
    plan = "\n".join(many.explain(sql))
    assert plan.count("numbers") >= 1
    assert many.query(sql).rows == [(5,)]


def test_writes_are_explained_by_how_they_find_documents(many):
    assert "numbers" in "\n".join(many.explain("UPDATE notes SET x = 1 WHERE n = 5"))
    assert "numbers" in "\n".join(many.explain("DELETE FROM notes WHERE n = 5"))
    assert len(many["notes"]) == 2000


def test_names_are_those_of_the_statement(many):
    plan = "\n".join(many.explain("SELECT x.who FROM notes AS x WHERE x.missing = 1"))
    assert " x" in plan
    assert "d_1" not in plan
