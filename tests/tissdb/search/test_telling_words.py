"""Words that most documents have are left out of queries where that changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.search.query import parse_query
from quanta_tissu.tissdb.sqlite.text import MOST_TERMS, SqliteText

WORDS = ["the", "of", "a", "fox", "dog", "sea", "sun", "run", "odd", "ant"]
WEIGHTS = [30, 20, 15, 5, 5, 3, 3, 2, 1, 1]


@pytest.fixture(scope="module")
def engine():
    """A search in SQLite, with common words left out and without."""
    import random

    chance = random.Random(0)
    with tissdb.open(":memory:") as db:
        db["a"].create_index("text", kind="text")
        db["a"].insert_many({"text": " ".join(chance.choices(WORDS, WEIGHTS, k=12))} for _ in range(300))
        [index] = db["a"].indexes.values()

        def search(method, words, limit):
            query = parse_query(words)
            return db.read_connection(
                lambda connection: getattr(SqliteText(), method)(connection, index, query, limit, None)
            )

        yield search


@settings(max_examples=60)
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5), limit=st.sampled_from([1, 10, 400]))
def test_the_results_are_those_of_all_words(engine, words, limit):
    few, all_words = (dict(engine(method, " ".join(words), limit)) for method in ("search", "_search"))
    assert len(few) == len(all_words)
    # What ranks equal but for the commonest words may change places, by nothing that can be seen.
    assert sorted(few.values()) == pytest.approx(sorted(all_words.values()), abs=2e-5)


def test_documents_that_have_common_words_alone_are_found(engine):
    assert len(engine("search", "the of", 10)) == 10
    assert len(engine("search", "the odd", 300)) == len(engine("_search", "the odd", 300))


def test_of_many_words_the_rarest_count(db):
    db["a"].create_index("text", kind="text")
    db["a"].insert_many(
        {"_id": str(n), "text": " ".join(f"w{m}" for m in range(n, 40))} for n in range(40)
    )  # w0 is in one document, w39 in all
    found = db["a"].search(" ".join(f"w{m}" for m in range(40)), k=3)
    assert found[0].document.id == "0"
    assert len(found) == 3
    assert MOST_TERMS < 40
