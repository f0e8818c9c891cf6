"""Postings in memory find what FTS5 finds, with the same scores to the bit, whatever was written meanwhile."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import QueryError
from quanta_tissu.tissdb import catalog as catalogs
from quanta_tissu.tissdb.definitions import Filter
from quanta_tissu.tissdb.search.query import parse_query
from quanta_tissu.tissdb.sqlite import postings
from quanta_tissu.tissdb.sqlite.postings import PostingsCache, varints
from quanta_tissu.tissdb.sqlite.text import SqliteText

WORDS = ["the", "the", "the", "of", "of", "fox", "foxes", "dog", "sea", "ärger", "x_y", "run"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
PLAIN = st.sampled_from([*WORDS, "running", "nowhere", "FOX", "_", '"the fox"', '"of the"', "f*", "s*", "ru*"])
QUERIES = st.lists(
    st.builds(str.__add__, st.sampled_from(["", "", "", "+", "-"]), PLAIN), min_size=1, max_size=5
).map(" ".join)
IDS = st.integers(0, 12).map(str)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), IDS, TEXTS, TEXTS),
        st.tuples(st.just("replace"), IDS, TEXTS, TEXTS),
        st.tuples(st.just("delete"), IDS),
        st.tuples(st.just("search"), QUERIES, st.sampled_from([1, 3, 10, 400]), st.booleans()),
    ),
    min_size=3,
    max_size=40,
)


NUMBERS = count()


@pytest.fixture(scope="module")
def memory():
    with tissdb.open(":memory:") as db:
        yield db


@pytest.fixture
def path(tmp_path):
    return tmp_path / "test.db"


def searching(db, collection="a"):
    """Two ways of one search: by FTS5 alone, and as a reader of the database does it."""
    engine = SqliteText()

    def search(words, limit=10, only=None, one_state=True):
        query = parse_query(words)

        def work(connection, catalog):
            [index] = catalog.collections[collection].of_kind("text")
            return engine.search(connection, index, query, limit, only)

        return db.read(work, one_state=one_state)

    return search


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, stemming=st.booleans(), weights=st.sampled_from([None, [2.0, 1.0], [0.1, 0.7]]))
def test_every_search_finds_what_fts5_finds(memory, steps, stemming, weights):
    name = f"c{next(NUMBERS)}"
    items = memory[name]
    options = {"weights": weights} if weights else {}
    items.create_index("words", kind="text", fields=["title", "body"], stemming=stemming, **options)
    table = memory.read_connection(catalogs.load).find(name).table
    search = searching(memory, name)
    search("warm")  # the first is FTS5's
    there = set()
    for step, *rest in steps:
        if step == "search":
            words, limit, filtered = rest
            only = Filter(f"SELECT rid FROM {table} WHERE rid % 2 = ?", (0,)) if filtered else None
            try:
                found = search(words, limit, only)
            except QueryError:  # only what must not occur
                continue
            assert found == search(words, limit, only, one_state=False)
        elif step == "delete" and rest[0] in there:
            items.delete(rest[0])
            there.remove(rest[0])
        elif step == "insert" and rest[0] not in there:
            items.insert({"title": rest[1], "body": rest[2]}, id=rest[0])
            there.add(rest[0])
        elif step == "replace" and rest[0] in there:
            items.replace(rest[0], {"title": rest[1], "body": rest[2]})


def test_it_is_memory_that_answers(path, monkeypatch):
    with tissdb.open(path) as db:
        db["a"].create_index("words", kind="text", fields=["text"])
        db["a"].insert({"text": "quick fox"})
        db["a"].search("fox")
        monkeypatch.setattr(SqliteText, "_search", lambda *given: pytest.fail("FTS5 was asked"))
        assert len(db["a"].search("fox")) == 1
        db["a"].insert({"text": "slow fox"})
        assert len(db["a"].search("fox")) == 2
        assert list(db.query("SELECT text FROM a WHERE MATCH(words, 'slow')").rows) == [("slow fox",)]


def bm25(texts, words):
    """Scores of texts that have one of the words, as the formula says (k1 = 1.2, b = 0.75)."""
    split = [text.split() for text in texts]
    average = sum(map(len, split)) / len(split)
    scores = [0.0] * len(texts)
    for word in words:
        having = sum(word in text for text in split)
        rarity = max(math.log((len(texts) - having + 0.5) / (having + 0.5)), 1e-6)
        for place, text in enumerate(split):
            count = text.count(word)
            scores[place] += rarity * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(text) / average))
    return scores


def test_scores_are_those_of_the_formula_also_after_removals(path):
    chance = random.Random(0)
    vocabulary = [f"w{number}" for number in range(30)]
    with tissdb.open(path) as db:
        items = db["a"]
        items.create_index("words", kind="text", fields=["text"], stemming=False)
        texts = {str(n): " ".join(chance.choices(vocabulary, k=chance.randint(1, 30))) for n in range(200)}
        items.insert_many({"_id": id, "text": text} for id, text in texts.items())
        items.search("w0")
        for step in range(60):
            id = chance.choice(list(texts))
            if step % 3 == 0:
                items.delete(id)
                del texts[id]
            elif step % 3 == 1:
                texts[id] = " ".join(chance.choices(vocabulary, k=chance.randint(1, 30)))
                items.replace(id, {"text": texts[id]})
            words = chance.sample(vocabulary, 3)
            expected = dict(zip(texts, bm25(texts.values(), words), strict=True))
            found = items.search(" ".join(words), k=1000)
            assert {hit.document.id: hit.score for hit in found} == pytest.approx(
                {id: score for id, score in expected.items() if score}, rel=1e-9
            )


def test_views_transactions_and_other_processes_find_what_they_see(path):
    with tissdb.open(path) as db, tissdb.open(path) as other:
        db["a"].create_index("words", kind="text", fields=["text"])
        db["a"].insert({"text": "fox"}, id="1")
        for _ in range(2):
            assert len(db["a"].search("fox")) == 1
        with db.view() as view:
            other["a"].insert({"text": "foxes"}, id="2")
            other["a"].delete("1")
            assert [hit.document.id for hit in db["a"].search("fox")] == ["2"]
            assert [hit.document.id for hit in view["a"].search("fox")] == ["1"]
        with pytest.raises(ZeroDivisionError), db.transaction() as transaction:
            transaction["a"].insert({"text": "a third fox"}, id="3")
            assert len(transaction["a"].search("fox")) == 2
            raise ZeroDivisionError
        assert [hit.document.id for hit in db["a"].search("fox")] == ["2"]
        db["a"].insert({"text": "another fox"}, id="4")
        assert {hit.document.id for hit in db["a"].search("fox")} == {"2", "4"}


def test_an_index_without_a_list_of_removals_is_searched_by_fts5(path):
    with tissdb.open(path) as db:
        db["a"].create_index("words", kind="text", fields=["text"])
        db["a"].insert({"text": "fox"}, id="1")
        number = db.read_connection(catalogs.load).find("a").indexes["words"].number
    with apsw.Connection(str(path)) as raw:
        raw.execute(f"DROP TABLE t_{number}_gone").fetchall()
    with tissdb.open(path) as db:
        for _ in range(3):
            assert len(db["a"].search("fox")) == 1
        db["a"].insert({"text": "fox"}, id="2")
        db["a"].delete("1")  # from now on there is one
        for _ in range(3):
            assert [hit.document.id for hit in db["a"].search("fox")] == ["2"]


def test_lists_that_were_not_used_for_long_are_forgotten(path, monkeypatch):
    monkeypatch.setattr(postings, "_MOST_POSTINGS", 2)
    with tissdb.open(path) as db:
        db["a"].create_index("words", kind="text", fields=["text"])
        db["a"].insert_many({"text": f"one two three four n{number}"} for number in range(10))
        for words in ("one", "one", "two", "three", "one", "four", "one two three four"):
            assert len(db["a"].search(words, k=20)) == 10
            [kept] = db._backend._postings.values()
            assert len(kept._lists) <= max(2, len(words.split()))


def test_a_search_that_fails_leaves_nothing_half_done(path, monkeypatch):
    with tissdb.open(path) as db:
        db["a"].create_index("words", kind="text", fields=["text"])
        db["a"].insert({"text": "fox"}, id="1")
        db["a"].search("fox")
        db["a"].search("fox")
        db["a"].insert({"text": "fox"}, id="2")
        with monkeypatch.context() as patched:
            patched.setattr(postings, "_joined", lambda *given: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                db["a"].search("fox")
        with monkeypatch.context() as patched:
            patched.setattr(postings, "norms_of", lambda *given: 1 / 0)
            db["a"].delete("1")
            with pytest.raises(ZeroDivisionError):
                db["a"].search("fox")
        assert [hit.document.id for hit in db["a"].search("fox")] == ["2"]


@given(numbers=st.lists(st.integers(0, 2**50), max_size=20))
def test_numbers_are_read_as_sqlite_writes_them(numbers):
    def written(number):
        rest = [number & 127]
        while number := number >> 7:
            rest.append(number & 127 | 128)
        return bytes(reversed(rest))

    assert varints(b"".join(map(written, numbers))).tolist() == numbers


def test_many_threads_search_while_one_writes(path):
    with tissdb.open(path) as db, ThreadPoolExecutor(4) as pool:
        db["a"].create_index("words", kind="text", fields=["text"])
        db["a"].insert_many({"_id": f"o{n}", "text": f"fox n{n % 7}"} for n in range(50))

        def search(number):
            found = db["a"].search(f"fox n{number % 7}", k=1000)
            assert len(found) >= 50
            return len(found)

        counts = []
        for number in range(40):
            db["a"].insert({"text": "new fox"}, id=f"n{number}")
            counts.append(list(pool.map(search, range(4))))
        assert counts == [[51 + number] * 4 for number in range(40)]


def test_the_best_of_many_are_found_and_ties_stay_in_order(memory):
    chance = random.Random(1)
    items = memory["many"]
    items.create_index("words", kind="text", fields=["text"])
    items.insert_many({"text": " ".join(chance.choices(WORDS, k=chance.randint(1, 6)))} for _ in range(2000))

    search = searching(memory, "many")
    search("warm")
    for words in ("fox", "dog sea", "the of", "+dog the", "sea -fox", "nowhere", "fox dog sea run"):
        for limit in (1, 7, 30, 40, 5000):
            assert search(words, limit) == search(words, limit, one_state=False)


@pytest.mark.parametrize("step", ["count", "lists"])
def test_a_search_that_is_overtaken_finds_what_it_sees(path, monkeypatch, step):
    with tissdb.open(path) as db:
        db["a"].create_index("words", kind="text", fields=["text"])
        db["a"].insert_many({"_id": str(n), "text": text} for n, text in enumerate(["fox", "dog", "sea", "sun"]))
        db["a"].search("fox")
        original = getattr(PostingsCache, step)
        overtaken = []

        def slow(*given):
            if not overtaken:
                overtaken.append(True)
                db["a"].insert({"text": "a new fox"}, id="new")
                assert len(db["a"].search("fox dog")) == 3
            return original(*given)

        monkeypatch.setattr(PostingsCache, step, slow)
        assert {hit.document.id for hit in db["a"].search("fox dog")} == {"0", "1"}
        assert {hit.document.id for hit in db["a"].search("fox dog")} == {"0", "1", "new"}


def test_a_document_that_is_new_and_then_changed_is_in_a_list_once(path):
    with tissdb.open(path) as db:
        items = db["a"]
        items.create_index("words", kind="text", fields=["text"])
        items.insert_many({"_id": str(n), "text": "fox dog" if n % 9 == 0 else "dog"} for n in range(60))
        search = searching(db)
        for words in ("warm", "fox", "dog"):
            search(words)
        items.insert({"text": "fox dog"}, id="new")
        search("dog")
        items.replace("new", {"text": "fox fox dog"})
        search("dog")
        assert search("fox") == search("fox", one_state=False)
