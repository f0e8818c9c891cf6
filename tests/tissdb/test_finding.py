"""Search among some documents, and in an order of one's own."""

from __future__ import annotations

import pytest

from quanta_tissu.errors import DatabaseError, QueryError


@pytest.fixture
def items(db):
    collection = db["items"]
    collection.create_index("text", kind="text")
    collection.create_index("near", kind="vector", dimension=1, metric="dot")
    collection.insert_many(
        {"_id": f"{n:03}", "text": "fox " * (n % 7 + 1), "price": n, "tag": "xy"[n % 2], "_vectors": {"near": [n]}}
        for n in range(200)
    )
    return collection


def ids(hits):
    return [hit.document.id for hit in hits]


class TestWhere:
    @pytest.mark.parametrize("query", [{"text": "fox"}, {"vector": [1]}, {"text": "fox", "vector": [1]}])
    def test_as_many_are_found_as_asked_for_if_so_many_suit(self, items, query):
        found = items.search(**query, k=10, where="price < ? AND tag = 'x'", parameters=[20])
        assert sorted(ids(found)) == [f"{n:03}" for n in range(0, 20, 2)]
        assert len(items.search(**query, k=10, where="price < 3")) == 3
        assert items.search(**query, where="price < 0") == []

    def test_the_best_of_those_that_suit(self, items):
        assert ids(items.search(vector=[1], k=2, where="tag = :tag", parameters={"tag": "x"})) == ["198", "196"]

    def test_it_sees_what_was_just_written(self, db, items):
        items.patch("007", {"tag": "z"})
        assert ids(items.search("fox", where="tag = 'z'")) == ["007"]
        with db.transaction() as tx:
            tx["items"].patch("008", {"tag": "z"})
            assert sorted(ids(tx["items"].search(vector=[1], where="tag = 'z'"))) == ["007", "008"]

    @pytest.mark.parametrize(
        ("where", "message"),
        [
            ("price <", None),
            ("", None),
            ("price < 3 ORDER BY price", "more than a condition"),
            ("price < 3 LIMIT 1", "more than a condition"),
            ("price < 3 UNION SELECT _id FROM items", "more than a condition"),
            ("price < 3 GROUP BY price", None),
            ("price < 3; DELETE FROM items", None),
            ("MATCH(text, 'fox')", "beside the condition"),
            (7, "a condition is text"),
        ],
    )
    def test_what_is_no_condition_is_refused(self, items, where, message):
        with pytest.raises(QueryError, match=message):
            items.search("fox", where=where)
        assert len(items) == 200

    def test_errors_point_into_the_condition(self, items):
        with pytest.raises(QueryError) as caught:
            items.search("fox", where="price < 3 AND MATCH(text, 'fox')")
        assert caught.value.statement == "price < 3 AND MATCH(text, 'fox')"
        assert caught.value.column == 15

    def test_parameters(self, items):
        with pytest.raises(QueryError):
            items.search("fox", where="price < ?")
        with pytest.raises(DatabaseError, match="no condition"):
            items.search("fox", parameters=[1])


class TestReranker:
    def test_it_sorts_what_search_has_found(self, items):
        given = []

        def cheapest(text, hits):
            given.append((text, len(hits)))
            return [-hit.document["price"] for hit in hits]

        found = items.search("fox", k=3, reranker=cheapest, where="price >= 150")
        assert given == [("fox", 50)]
        assert ids(found) == ["150", "151", "152"]
        assert [hit.score for hit in found] == [-150, -151, -152]
        assert found[0].why.endswith(f"reranked from place {found[0].before} (-150)")
        assert found[0].snippet is not None

    def test_equal_scores_keep_the_order(self, items):
        plain = ids(items.search("fox", k=5))
        assert ids(items.search("fox", k=5, reranker=lambda text, hits: [0.0] * len(hits))) == plain

    def test_it_is_not_asked_about_nothing(self, items):
        assert items.search("wolf", reranker=lambda text, hits: [1 / 0]) == []

    @pytest.mark.parametrize("scores", [[], [1.0] * 51, [float("nan")] * 50, [float("inf")] * 50])
    def test_what_is_no_score_for_each_is_refused(self, items, scores):
        with pytest.raises(DatabaseError, match="the reranker gave"):
            items.search("fox", reranker=lambda text, hits: scores)

    def test_it_needs_a_text(self, items):
        with pytest.raises(DatabaseError, match="compares documents with a text"):
            items.search(vector=[1], reranker=lambda text, hits: [])
