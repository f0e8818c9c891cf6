"""Words in PostgreSQL are the same words as elsewhere; their ranks are its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import DatabaseError, InvalidDocumentError
from quanta_tissu.tissdb.definitions import Index
from quanta_tissu.tissdb.postgres import text as engine
from quanta_tissu.tissdb.postgres.text import words_of


@pytest.fixture
def url(postgres_url):
    return postgres_url


@pytest.fixture
def notes(db):
    db["notes"].create_index("words", kind="text", fields=["title", "body"])
    return db["notes"]


def ids(hits):
    return [hit.document.id for hit in hits]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The quick-brown fox_jumps", ["the", "quick", "brown", "fox", "jumps"]),
        ("www.example.com/a?b=c me@host", ["www", "example", "com", "a", "b", "c", "me", "host"]),
        ("Überraschung im Café, ŁÓDŹ", ["uberraschung", "im", "cafe", "łodz"]),
        ("3.14 x2 日本語 '\\:*&|!", ["3", "14", "x2", "日本語"]),
        ("Cafe\u0301s, Å, a\u0323\u0301b", ["cafes", "a", "ab"]),
        ("", []),
        ("x" * 600, ["x" * 500]),
    ],
)
def test_words_are_runs_of_letters_and_digits_without_accents(text, words):
    assert words_of(text) == words


def test_no_word_is_too_common_to_be_found(notes):
    notes.insert({"title": "To be or not to be"}, id="x")
    assert ids(notes.search("the to be")) == ["x"]
    assert ids(notes.search('"or not"')) == ["x"]


def test_what_the_servers_parser_would_take_for_one_is_several(notes):
    notes.insert({"body": "see www.example.com/path and me@host.org, or foo_bar"}, id="x")
    for word in ("example", "path", "me", "host", "bar", '"www example"', "foo_bar", "exam*"):
        assert ids(notes.search(word)) == ["x"], word


def test_phrases_do_not_run_from_one_field_into_the_next(notes):
    notes.insert({"title": "one two", "body": "three four"}, id="x")
    assert ids(notes.search('"three four"')) == ["x"]
    assert notes.search('"two three"') == []


def test_required_words_filter_and_wanted_ones_rank(notes):
    notes.insert({"body": "fox"}, id="fox")
    notes.insert({"body": "fox dog"}, id="both")
    notes.insert({"body": "dog"}, id="dog")
    assert ids(notes.search("+fox dog")) == ["both", "fox"]
    assert ids(notes.search("+fox -dog")) == ["fox"]
    assert ids(notes.search("fox dog", need="all")) == ["both"]


def test_hits_say_which_ranker_it_was(notes):
    notes.insert({"body": "fox"})
    [hit] = notes.search("fox")
    assert hit.text.ranker == "ts_rank_idf"
    assert hit.score > 0


def test_rare_words_count_more_than_common_ones(notes):
    notes.insert_many({"_id": f"c{n}", "body": "the the the the and of it"} for n in range(30))
    notes.insert({"body": "the axolotl of lakes"}, id="rare")
    assert ids(notes.search("how is the axolotl"))[0] == "rare"
    assert ids(notes.search("the axol*"))[0] == "rare"


def test_where_words_occur_once_the_rank_is_bm25(db, tmp_path):
    """The same documents in both engines have the same scores."""
    numbers = np.random.default_rng(0)
    words = [f"w{n}" for n in range(200)]
    documents = [
        {"_id": str(n), "text": " ".join(numbers.choice(words, size=numbers.integers(3, 30), replace=False))}
        for n in range(300)
    ]
    with tissdb.open(tmp_path / "x.db") as other:
        for one in (db, other):
            one["a"].create_index("text", kind="text")
            one["a"].insert_many(documents)
            one["a"].insert_many({"text": "w1 w2 w3"} for _ in range(5))
            for document in list(one["a"])[-5:]:
                one["a"].delete(document.id)
        for query in ("w1", "w1 w2 w3", "w4 w5 w6 w7 w8", "w9 nothing"):
            mine, theirs = (
                {hit.document.id: hit.score for hit in one["a"].search(query, k=400)} for one in (db, other)
            )
            assert mine.keys() == theirs.keys()
            assert list(mine.values()) == pytest.approx([theirs[id] for id in mine], rel=2e-6)


def test_counts_of_stems_follow_every_change(db, notes):
    def counts():
        return {
            stem: (documents, places)
            for stem, documents, places in db.read_connection(
                lambda connection: connection.rows("SELECT * FROM t_1_stems WHERE documents > 0 OR places > 0")
            )
        }

    notes.insert_many([{"_id": "x", "title": "fox fox", "body": "foxes run"}, {"_id": "y", "title": "fox"}])
    assert counts() == {"": (2, 5), "fox": (2, 0), "run": (1, 0)}
    notes.patch("x", {"body": "dog"})
    assert counts() == {"": (2, 4), "fox": (2, 0), "dog": (1, 0)}
    notes.delete("y")
    notes.delete("x")
    assert counts() == {}
    assert notes.search("fox") == []


def test_weights_of_fields_count(db):
    db["a"].create_index("words", kind="text", fields=["title", "body"], weights=[10.0, 1.0])
    db["a"].insert({"title": "fox", "body": "dog"}, id="fox")
    db["a"].insert({"title": "dog", "body": "fox"}, id="dog")
    assert ids(db["a"].search("fox")) == ["fox", "dog"]
    first, second = db["a"].search("dog")
    assert (first.document.id, second.document.id) == ("dog", "fox")
    assert first.score == pytest.approx(10 * second.score)


def test_more_weights_than_the_server_can_tell_apart_are_refused(db):
    with pytest.raises(DatabaseError, match="5 different weights"):
        db["a"].create_index("words", kind="text", fields=list("vwxyz"), weights=[1.0, 2.0, 3.0, 4.0, 5.0])
    assert db.collections() == []


def test_long_texts_are_found_by_all_their_words_up_to_what_the_server_holds(notes):
    notes.insert({"body": " ".join(f"w{n}" for n in range(20_000))}, id="x")
    assert ids(notes.search("w19999")) == ["x"]
    with pytest.raises(InvalidDocumentError, match="too large for PostgreSQL"):
        notes.insert({"body": " ".join(f"{n}{'long' * 8}" for n in range(30_000))})
    assert len(notes) == 1


def test_stems_are_asked_for_once_and_forgotten_when_they_are_many(notes, monkeypatch):
    monkeypatch.setattr(engine, "_STEMS_KEPT", 5)
    for n in range(6):
        notes.insert({"body": f"running jumped{n} flies"}, id=str(n))
    assert set(ids(notes.search("run"))) == {str(n) for n in range(6)}
    assert ids(notes.search("jumped3")) == ["3"]


@given(st.text("ab .-_é\u0301İß½日", max_size=30))
def test_tokens_are_the_words_and_where_they_stand(text):
    index = Index(1, "words", "text", (("a",),), {"stemming": False})
    [tokens] = engine.PostgresText().tokens(None, index, [text])
    assert [token.stem for token in tokens] == words_of(text)
    assert all(words_of(text[token.start : token.end]) == [token.stem] for token in tokens)


def test_tokens_have_the_stems_by_which_they_are_found(db, notes):
    index = notes.indexes["words"]
    text = "Foxes: JUMPED!"
    [tokens] = db.read_connection(lambda connection: connection.dialect.text.tokens(connection, index, [text]))
    assert tokens == [(0, 5, "fox"), (7, 13, "jump")]
