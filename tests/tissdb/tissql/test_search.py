"""MATCH, NEAR and SCORE."""

from __future__ import annotations

import pytest


@pytest.fixture
def fruit(db):
    fruit = db.collection("fruit")
    fruit.create_index("body", kind="text")
    fruit.create_index("place", kind="vector", dimension=2, metric="l2")
    for n in range(10):
        colour = "red apple" if n % 2 else "green pear"
        fruit.insert({"body": colour + " sweet" * (n == 3), "n": n}, id=str(n), vectors={"place": [n, 0]})
    return db


def ids(db, sql, *parameters):
    return "".join(row[0] for row in db.query(sql, parameters).rows)


def test_match_finds_documents_with_words(fruit):
    assert ids(fruit, "SELECT _id FROM fruit WHERE MATCH(body, 'apples') ORDER BY _id") == "13579"
    assert ids(fruit, "SELECT _id FROM fruit WHERE n > 4 AND MATCH('body', ?) AND n < 9", "+red apple") in (
        "57",
        "75",
    )
    assert fruit.query("SELECT COUNT(*) FROM fruit WHERE MATCH(body, 'sweet pear')").rows == [(6,)]
    assert ids(fruit, "SELECT _id FROM fruit WHERE MATCH(body, 'nothing')") == ""


def test_score_says_how_well(fruit):
    rows = fruit.query(
        "SELECT _id, SCORE() AS s FROM fruit WHERE MATCH(body, 'sweet red') ORDER BY s DESC LIMIT 2"
    ).rows
    assert rows[0][0] == "3"
    assert rows[0][1] > rows[1][1] > 0


def test_near_finds_the_k_nearest_of_those_that_suit_all_else(fruit):
    sql = "SELECT _id FROM fruit WHERE NEAR(place, ?, 3) ORDER BY SCORE() DESC"
    assert ids(fruit, sql, [0.1, 0]) == "012"
    sql = "SELECT _id FROM fruit WHERE NEAR(place, ?, 3) AND (n > 5 OR n = 1) ORDER BY SCORE() DESC"
    assert ids(fruit, sql, [0.1, 0]) == "167"
    assert len(fruit.query("SELECT _id FROM fruit WHERE NEAR(place, [5, 0])").rows) == 10


def test_match_and_near_together(fruit):
    rows = fruit.query(
        "SELECT _id, SCORE(place), SCORE(body) FROM fruit WHERE NEAR(place, :v, 2) AND MATCH(body, :w) AND n > 0 "
        "ORDER BY SCORE(place) DESC",
        {"v": [0, 0], "w": "red"},
    ).rows
    assert [row[0] for row in rows] == ["1", "3"]
    assert all(row[2] > 0 for row in rows)


def test_what_is_written_is_found_at_once_and_what_is_undone_is_not(fruit):
    with pytest.raises(RuntimeError), fruit.transaction() as transaction:
        transaction["fruit"].insert({"body": "blue"}, id="b", vectors={"place": [100, 0]})
        assert ids(transaction, "SELECT _id FROM fruit WHERE MATCH(body, 'blue')") == "b"
        assert ids(transaction, "SELECT _id FROM fruit WHERE NEAR(place, [99, 0], 1)") == "b"
        raise RuntimeError
    assert ids(fruit, "SELECT _id FROM fruit WHERE MATCH(body, 'blue')") == ""
    assert ids(fruit, "SELECT _id FROM fruit WHERE NEAR(place, [99, 0], 1)") == "9"


def test_writes_can_search(fruit):
    assert fruit.query("UPDATE fruit SET red = TRUE WHERE MATCH(body, 'red')").changed == 5
    assert fruit.query("DELETE FROM fruit WHERE NEAR(place, [0, 0], 4) AND red").changed == 4
    assert ids(fruit, "SELECT _id FROM fruit ORDER BY _id") == "024689"


def test_groups_and_unions_can_search(fruit):
    sql = "SELECT n FROM fruit WHERE MATCH(body, 'sweet') GROUP BY n"
    assert fruit.query(sql).rows == [(3,)]
    sql = "SELECT DISTINCT n FROM fruit WHERE NEAR(place, [0, 0], 2) ORDER BY n"
    assert fruit.query(sql).rows == [(0,), (1,)]


def test_match_is_a_condition_like_others(fruit):
    def those(where):
        return ids(fruit, f"SELECT _id FROM fruit WHERE {where} ORDER BY _id")

    assert those("NOT MATCH(body, 'apple')") == "02468"
    assert those("MATCH(body, 'sweet') OR n > 7") == "389"
    assert those("NOT (MATCH(body, 'apple') AND n < 5)") == "02456789"
    assert those("MATCH(body, 'apple') AND NOT MATCH(body, 'sweet')") == "1579"
    assert those("MATCH(body, 'sweet') OR NOT MATCH(body, 'red green')") == "3"
    assert (
        ids(
            fruit,
            "SELECT _id FROM fruit WHERE (MATCH(body, 'pear') OR n = 3) AND NEAR(place, ?, 3) "
            "ORDER BY SCORE(place) DESC",
            [3.1, 0],
        )
        == "342"
    )


def test_what_match_has_not_found_has_no_score(fruit):
    rows = fruit.query(
        "SELECT _id, SCORE() AS s FROM fruit WHERE MATCH(body, 'sweet') OR n = 5 ORDER BY s DESC"
    ).rows
    assert [row[0] for row in rows] == ["3", "5"]
    assert rows[0][1] > 0
    assert rows[1][1] is None


def test_match_in_joins_names_its_collection(fruit):
    fruit.query("INSERT INTO baskets (_id, holds) VALUES ('x', 3), ('y', 4), ('z', 99)")
    sql = (
        "SELECT b._id, f._id, SCORE(f.body) AS s FROM baskets AS b {} fruit AS f ON f.n = b.holds WHERE {} "
        "ORDER BY b._id"
    )
    rows = fruit.query(sql.format("JOIN", "MATCH(f.body, 'sweet apple')")).rows
    assert [row[:2] for row in rows] == [("x", "3")]
    assert rows[0][2] > 0
    rows = fruit.query(sql.format("LEFT JOIN", "NOT MATCH(f.body, 'apple')")).rows
    assert rows == [("y", "4", None), ("z", None, None)]


def test_each_side_of_a_union_searches_for_itself(fruit):
    sql = (
        "SELECT _id FROM fruit WHERE MATCH(body, 'sweet') UNION SELECT _id FROM fruit WHERE n > 5 AND "
        "MATCH(body, 'pear') AND NEAR(place, [0, 0], 1) UNION "
        "SELECT _id FROM fruit AS f WHERE NEAR(f.place, [9, 0], 1) ORDER BY _id"
    )
    assert ids(fruit, sql) == "369"
    assert fruit.explain(sql)
