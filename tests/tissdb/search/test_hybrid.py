"""Search as users see it: the right documents, why they were found, and what was just written."""

from __future__ import annotations

import datetime as dt
import time

import numpy as np
import pytest

from quanta_tissu.errors import DatabaseError, InvalidDocumentError, NotFoundError, QueryError

ANIMALS = {
    "fox": ("The quick brown fox jumps", [1, 0, 0]),
    "dog": ("A lazy dog sleeps while foxes run", [0.9, 0.1, 0]),
    "cat": ("Cats are not dogs", [0, 1, 0]),
    "fish": ("Fish swim in the sea", [0, 0, 1]),
}


@pytest.fixture
def animals(db):
    collection = db["animals"]
    collection.create_index("words", kind="text", fields=["text", "title"])
    collection.create_index("near", kind="vector", dimension=3)
    for id, (text, vector) in ANIMALS.items():
        collection.insert({"text": text, "title": id.upper()}, id=id, vectors={"near": vector})
    return collection


def ids(hits):
    return [hit.document.id for hit in hits]


class TestWords:
    def test_forms_of_a_word_are_found(self, animals):
        assert set(ids(animals.search("fox"))) == {"fox", "dog"}
        assert ids(animals.search("sleeping")) == ["dog"]

    def test_the_document_with_more_of_them_comes_first(self, animals):
        assert ids(animals.search("lazy dogs"))[0] == "dog"

    def test_all_phrases_beginnings_required_and_excluded(self, animals):
        assert ids(animals.search("lazy dog", need="all")) == ["dog"]
        assert ids(animals.search('"brown fox"')) == ["fox"]
        assert animals.search('"fox brown"') == []
        assert ids(animals.search("swi*")) == ["fish"]
        assert ids(animals.search("+dog fox")) == ["dog"] or ids(animals.search("+dog fox"))[0] == "dog"
        assert ids(animals.search("fox -lazy")) == ["fox"]

    def test_text_that_looks_like_the_engines_language_is_only_words(self, animals):
        for text in ("fox AND", "NOT fox", "fox* OR (", 'text:fox"', "NEAR(fox", "fox'; DROP TABLE"):
            animals.search(text)

    def test_fields_count_by_their_weights(self, db):
        for name, weights in (("a", [5.0, 1.0]), ("b", [1.0, 5.0])):
            db[name].create_index("text", kind="text", fields=["title", "text"], weights=weights)
            db[name].insert({"title": "fox", "text": "dog"}, id="title")
            db[name].insert({"title": "dog", "text": "fox"}, id="text")
            db[name].insert_many({"title": "sea", "text": "sun"} for _ in range(9))
        assert ids(db["a"].search("fox")) == ["title", "text"]
        assert ids(db["b"].search("fox")) == ["text", "title"]

    def test_all_fields_and_all_text_in_them(self, db):
        db["a"].create_index("words", kind="text", fields=["tags", "author"])
        db["a"].insert({"tags": ["red", {"deep": "blue"}], "author": {"name": "Ada"}, "n": "green"}, id="x")
        for word in ("red", "blue", "ada"):
            assert ids(db["a"].search(word)) == ["x"]
        assert db["a"].search("green") == []

    def test_accents_and_case_do_not_matter(self, db):
        db["a"].create_index("text", kind="text")
        db["a"].insert({"text": "Überraschung im Café"}, id="x")
        assert ids(db["a"].search("cafe")) == ["x"]
        assert ids(db["a"].search("ÜBERRASCHUNG")) == ["x"]

    def test_without_stemming_words_are_as_they_are(self, db):
        db["a"].create_index("text", kind="text", stemming=False)
        db["a"].insert({"text": "running"}, id="x")
        assert db["a"].search("run") == []
        assert ids(db["a"].search("running")) == ["x"]

    def test_documents_that_were_there_before_the_index(self, db):
        db["a"].insert_many({"_id": str(n), "text": f"word{n}"} for n in range(1500))
        db["a"].create_index("text", kind="text")
        assert ids(db["a"].search("word1234")) == ["1234"]


class TestNearness:
    def test_the_nearest_come_first(self, animals):
        found = animals.search(vector=[1, 0, 0], k=2)
        assert ids(found) == ["fox", "dog"]
        assert found[0].score == pytest.approx(1)
        assert found[0].vector.rank == 1
        assert found[0].text is None
        assert found[0].why == "nearness: place 1 (cosine 1)"

    def test_the_length_of_a_vector_does_not_matter_for_angles(self, animals):
        assert ids(animals.search(vector=[50, 0, 0])) == ids(animals.search(vector=[0.1, 0, 0]))

    @pytest.mark.parametrize(("metric", "scores"), [("dot", [9.0, 3.0]), ("l2", [-0.0, -2.0])])
    def test_other_metrics(self, db, metric, scores):
        db["a"].create_index("near", kind="vector", dimension=1, metric=metric)
        db["a"].insert({}, id="three", vectors={"near": [3]})
        db["a"].insert({}, id="one", vectors={"near": [1]})
        found = db["a"].search(vector=[3])
        assert ids(found) == ["three", "one"]
        assert [hit.score for hit in found] == pytest.approx(scores)

    @pytest.mark.parametrize("vector", [[1, 2], "x", [0, 0, 0], [np.nan, 0, 0]])
    def test_what_is_no_vector_of_the_index_is_refused(self, animals, vector):
        with pytest.raises(InvalidDocumentError):
            animals.search(vector=vector)


class TestBoth:
    def test_what_both_find_comes_first_and_says_why(self, animals):
        found = animals.search("dog", vector=[1, 0, 0], fusion="rrf")
        assert ids(found)[0] == "dog"
        assert found[0].text.rank <= 2
        assert found[0].vector.rank == 2
        assert "words: place" in found[0].why
        assert "nearness: place 2 (cosine" in found[0].why
        assert found[0].score == pytest.approx(1 / (60 + found[0].text.rank) + 1 / 62)
        assert set(ids(found)) == set(ANIMALS)

    def test_by_default_scores_are_added(self, animals):
        both = {"vector": [1, 0, 0]}
        assert animals.search("dog", **both) == animals.search("dog", **both, fusion="weighted")

    def test_weights_and_scores(self, animals):
        assert ids(animals.search("fish", vector=[1, 0, 0], weights=(1, 0.01)))[0] == "fish"
        assert ids(animals.search("fish", vector=[1, 0, 0], weights=(0.01, 1)))[0] == "fox"
        found = animals.search("fish", vector=[1, 0, 0], fusion="weighted", weights=(1, 2))
        scores = {hit.document.id: hit.score for hit in found}
        assert scores["fox"] == max(scores.values()) == pytest.approx(2)  # the nearest of all
        assert scores["fish"] == pytest.approx(1)  # the only one with the word, and the farthest

    def test_the_result_is_the_same_every_time(self, db):
        db["a"].create_index("text", kind="text")
        db["a"].create_index("near", kind="vector", dimension=1)
        db["a"].insert_many({"_id": f"{n:02}", "text": "same", "_vectors": {"near": [1]}} for n in range(30))
        assert ids(db["a"].search("same", vector=[1], k=5)) == ["00", "01", "02", "03", "04"]


class TestState:
    def test_what_was_just_written_is_found_and_what_was_removed_is_not(self, animals):
        animals.insert({"text": "A new fox"}, id="new", vectors={"near": [1, 0, 0]})
        assert "new" in ids(animals.search("fox"))
        assert "new" in ids(animals.search(vector=[1, 0, 0]))
        animals.patch("new", {"text": "A goose"}, vectors={"near": [0, 0, -1]})
        assert "new" not in ids(animals.search("fox"))
        assert "new" not in ids(animals.search(vector=[1, 0, 0], k=3))
        assert ids(animals.search("goose")) == ["new"]
        animals.delete("new")
        assert animals.search("goose") == []
        assert "new" not in ids(animals.search(vector=[0, 0, -1]))

    def test_a_transaction_finds_what_it_wrote_and_nobody_else_does(self, db, animals):
        with pytest.raises(ZeroDivisionError), db.transaction() as tx:
            tx["animals"].insert({"text": "yeti"}, id="yeti", vectors={"near": [1, 1, 1]})
            assert ids(tx["animals"].search("yeti")) == ["yeti"]
            assert ids(tx["animals"].search(vector=[1, 1, 1], k=1)) == ["yeti"]
            assert animals.search("yeti") == []
            assert "yeti" not in ids(animals.search(vector=[1, 1, 1]))
            raise ZeroDivisionError
        assert "yeti" not in ids(animals.search(vector=[1, 1, 1]))

    def test_a_view_finds_what_was_there(self, db, animals):
        with db.view() as view:
            animals.delete("fox")
            animals.insert({"text": "fox"}, id="late", vectors={"near": [1, 0, 0]})
            assert ids(animals.search(vector=[1, 0, 0], k=1)) == ["late"]
            assert set(ids(view["animals"].search("fox"))) == {"fox", "dog"}
            assert ids(view["animals"].search(vector=[1, 0, 0], k=2)) == ["fox", "dog"]

    def test_expired_documents_take_nobodys_place(self, db):
        db["a"].create_index("text", kind="text")
        db["a"].create_index("near", kind="vector", dimension=1)
        soon = dt.timedelta(milliseconds=60)
        for _ in range(30):
            db["a"].insert({"text": "same"}, vectors={"near": [1]}, expires=soon)
        for id in "ab":
            db["a"].insert({"text": "same again and again"}, id=id, vectors={"near": [1]})
        time.sleep(0.07)
        assert set(ids(db["a"].search("same", k=2))) == {"a", "b"}
        assert set(ids(db["a"].search(vector=[1], k=2))) == {"a", "b"}


class TestRefusals:
    @pytest.mark.parametrize(
        "options",
        [
            {"weights": [1.0]},
            {"weights": [1.0, "1') --"]},
            {"weights": [1.0, 0]},
            {"weights": [1.0, float("inf")]},
            {"weights": 2},
            {"stemming": "yes"},
            {"language": "en"},
        ],
    )
    def test_options_of_a_text_index(self, db, options):
        with pytest.raises(DatabaseError, match=next(iter(options))):
            db["a"].create_index("text", kind="text", fields=["title", "text"], **options)

    def test_nothing_to_search_for(self, animals):
        with pytest.raises(DatabaseError, match="nothing to search for"):
            animals.search()
        with pytest.raises(QueryError):
            animals.search("?!")
        with pytest.raises(DatabaseError, match="k = 0"):
            animals.search("fox", k=0)

    def test_no_index(self, db, animals):
        db["bare"].insert({})
        with pytest.raises(NotFoundError, match="no text index"):
            db["bare"].search("x")
        with pytest.raises(NotFoundError, match="no vector index"):
            db["bare"].search(vector=[1])
        with pytest.raises(NotFoundError, match="no collection"):
            db["none"].search("x")
        with pytest.raises(NotFoundError, match="no text index 'other'"):
            animals.search("x", text_index="other")

    def test_several_indexes(self, animals):
        animals.create_index("more", kind="text", fields="title")
        with pytest.raises(DatabaseError, match="several text indexes"):
            animals.search("fox")
        assert ids(animals.search("fox", text_index="more")) == ["fox"]
