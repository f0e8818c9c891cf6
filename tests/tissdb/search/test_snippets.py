"""A snippet shows where the words stand that were found, in the form in which they stand there."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quanta_tissu.tissdb.search.snippets import LENGTH


@pytest.fixture
def notes(db):
    collection = db["notes"]
    collection.create_index("words", kind="text", fields=["title", "body.text"])
    return collection


def marked(collection, query, **options):
    return [hit.snippet.marked("[", "]") for hit in collection.search(query, **options)]


def test_forms_of_words_are_marked_as_they_stand(notes):
    notes.insert({"title": "Running", "body": {"text": "He runs, she ran; they have been running."}})
    assert marked(notes, "run") == ["He [runs], she ran; they have been [running]."]


def test_phrases_and_beginnings(notes):
    notes.insert({"title": "", "body": {"text": "A quick brown fox; brown and quick is a foxglove."}})
    assert marked(notes, '"quick brown"') == ["A [quick brown] fox; brown and quick is a foxglove."]
    assert marked(notes, "fox*") == ["A quick brown [fox]; brown and quick is a [foxglove]."]
    assert marked(notes, '+"brown fox" "quick brown" -wolf') == [
        "A [quick brown fox]; brown and quick is a foxglove."
    ]


def test_the_field_that_says_most_is_shown(notes):
    notes.insert({"title": "fox", "body": {"text": "a fox and a hound, a fox"}}, id="a")
    [hit] = notes.search("fox hound")
    assert hit.snippet.field == "body.text"
    assert hit.snippet.marked() == "a **fox** and a **hound**, a **fox**"


def test_accents_and_characters_of_several_bytes(notes):
    notes.insert({"title": "日本 🦊 Überraschungen im CAFÉ, café und Cafe\u0301s", "body": {}})
    assert marked(notes, "cafe uberraschungen") == ["日本 🦊 [Überraschungen] im [CAFÉ], [café] und [Cafe\u0301s]"]


def test_of_a_long_text_the_part_where_most_words_stand(notes):
    filler = "nothing to be seen here at all " * 30
    notes.insert({"title": "", "body": {"text": f"fox {filler} the hound chased a fox over it {filler}"}})
    [hit] = notes.search("fox hound")
    text = hit.snippet.text
    assert text.startswith("…")
    assert text.endswith("…")
    assert "the hound chased a fox over it" in text
    assert abs(len(text) - LENGTH) <= 62
    assert [text[start:end] for start, end in hit.snippet.spans] == ["hound", "fox"]
    assert text[1:].split()[0] in ("nothing", "to", "be", "seen", "here", "at", "all")


def test_words_that_no_search_by_words_has_found_have_none(db):
    db["a"].create_index("text", kind="text")
    db["a"].create_index("near", kind="vector", dimension=1)
    db["a"].insert({"text": "fox"}, id="x", vectors={"near": [1]})
    db["a"].insert({"text": "dog"}, id="y", vectors={"near": [1]})
    assert {hit.document.id: hit.snippet is None for hit in db["a"].search("fox", vector=[1])} == {
        "x": False,
        "y": True,
    }
    assert [hit.snippet for hit in db["a"].search(vector=[1])] == [None, None]


def test_nothing_is_shown_of_what_stands_too_far_behind(notes):
    notes.insert({"title": "", "body": {"text": "x " * 20_000 + "fox"}})
    [hit] = notes.search("fox")
    assert hit.snippet is None


WORDS = st.lists(
    st.sampled_from(["run", "running", "Über", "e\u0301t", "日本", "a.b", "🦊", "\n", "x_y", "--"]), max_size=90
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS)
def test_spans_always_hold_what_was_looked_for(db, words):
    name = f"c{len(db.collections())}"
    db[name].create_index("text", kind="text")
    db[name].insert({"text": " ".join(words)})
    for hit in db[name].search("run über"):
        assert hit.snippet is not None
        assert hit.snippet.spans
        found = [hit.snippet.text[start:end] for start, end in hit.snippet.spans]
        assert set(found) <= {"run", "running", "Über"}
        assert hit.snippet.marked("", "") == hit.snippet.text
        inner = hit.snippet.text.strip("…")
        assert inner in " ".join(words)
