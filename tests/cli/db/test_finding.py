"""`tissu db query` and `search`."""

from __future__ import annotations

import json

import pytest

import quanta_tissu.tissdb as tissdb


def test_rows_are_shown_as_a_table(tissu, notes):
    out = tissu("db", "query", notes, "SELECT title, stars, day FROM notes WHERE stars > :n", "-p", "n=4").out
    assert "Second [bold]note[/bold]" in out
    assert "2026-01-01" in out
    assert "first" not in out


def test_rows_are_lines_of_json_with_columns_in_order(tissu, notes):
    out = tissu("db", "query", notes, "SELECT title, day, author FROM notes ORDER BY title", "--json").out
    first, second, third = map(json.loads, out.splitlines())
    assert list(first) == ["title", "day", "author"]
    assert second["day"] == {"$date": "2026-01-01"}
    assert third["author"] == {"name": "Ada"}


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        ("title = ? AND stars = ?", ["-p", "A first note", "-p", "3"]),
        ("title = :t AND stars = :s", ["-p", "s=3", "-p", ":t=A first note"]),
        ("title = :t AND NOT title = 'what?'", ["-p", 't="A first note"']),
    ],
)
def test_parameters_are_given_in_order_or_by_name(tissu, notes, statement, parameters):
    out = tissu("db", "query", notes, f"SELECT title FROM notes WHERE {statement}", *parameters, "--json").out
    assert json.loads(out) == {"title": "A first note"}


def test_text_with_an_equals_sign_can_be_a_value(tissu, notes):
    assert tissu("db", "query", notes, "INSERT INTO sums (text) VALUES (?)", "-p", "a=b").code == 0
    assert "a=b" in tissu("db", "query", notes, "SELECT text FROM sums").out


def test_statements_write(tissu, notes, typed):
    assert tissu("db", "query", notes, "UPDATE notes SET stars = 0 WHERE stars = 3").out == "1 document written\n"
    typed("DELETE FROM notes")
    assert json.loads(tissu("db", "query", notes, "-", "--json").out) == {"changed": 3}
    assert tissu("db", "query", notes, "SELECT * FROM notes").out == "no rows\n"


def test_a_wrong_statement_shows_the_place(tissu, notes):
    outcome = tissu("db", "query", notes, "SELECT title FROM nowhere")
    assert outcome.code == 1
    assert "^^^^^^^" in outcome.err
    assert "there is no value for :a" in tissu("db", "query", notes, "SELECT 1 FROM notes WHERE n = :a").err


def test_a_value_that_looks_like_json_must_be_json(tissu, notes):
    outcome = tissu("db", "query", notes, "SELECT n FROM notes WHERE n = ?", "-p", '{"$date": "soon"}')
    assert outcome.code == 1
    assert "no value of its kind" in outcome.err


def test_search_says_why(tissu, notes):
    out = tissu("db", "search", notes, "notes", "first").out
    assert "words: place 1 (bm25" in out
    hits = [
        json.loads(line)
        for line in tissu("db", "search", notes, "notes", "note", "--json", "-k", "1").out.splitlines()
    ]
    assert [list(hit) for hit in hits] == [["score", "why", "snippet", "document"]]


def test_search_shows_where_the_words_stand(tissu, notes):
    assert "**first** note" in tissu("db", "search", notes, "notes", "first").out
    [hit] = tissu("db", "search", notes, "notes", "first", "--json").out.splitlines()
    assert json.loads(hit)["snippet"] == "A **first** note"


def test_a_condition_says_where_to_look(tissu, notes):
    args = ("db", "search", notes, "notes", "note", "--json")
    for condition in (["stars > :n", "-p", "n=4"], ["stars > ?", "-p", "4"]):
        [hit] = tissu(*args, "--where", *condition).out.splitlines()
        assert json.loads(hit)["document"]["_id"] == "second"
    assert tissu(*args, "--where", "stars >").code == 1


def test_all_the_words_may_be_needed(tissu, notes):
    assert len(tissu("db", "search", notes, "notes", "first second", "--json").out.splitlines()) == 2
    assert tissu("db", "search", notes, "notes", "first second", "--all").out == "nothing found\n"


def test_vectors_are_searched_by_nearness(tissu, notes, typed):
    tissu("db", "index", notes, "notes", "near", "--kind", "vector", "--dimension", "2")
    tissu("db", "put", notes, "notes", '{"_id": "v", "_vectors": {"near": [1, 0]}, "long": "' + "x" * 300 + '"}')
    out = tissu("db", "search", notes, "notes", "--vector", "[2, 0]").out
    assert "nearness: place 1 (cosine 1)" in out
    assert "…" in out
    typed("[1, 1]")
    [hit] = map(json.loads, tissu("db", "search", notes, "notes", "--vector", "-", "--json").out.splitlines())
    assert hit["document"]["_id"] == "v"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "there is nothing to search for"),
        (["..."], "holds no word"),
        (["--vector", "3"], "no list of numbers"),
        (["--vector", "[1]"], "no vector index"),
        (["a", "--text-index", "none"], "has no text index 'none'"),
        (["a", "-k", "0"], "is not in the range"),
    ],
)
def test_what_is_wrong_is_said(tissu, notes, args, says):
    outcome = tissu("db", "search", notes, "notes", *args)
    assert outcome.code in (1, 2)
    assert says in outcome.err


def test_what_takes_too_long_is_given_up(tissu, notes):
    everything = " JOIN ".join(f"numbers AS t{n}" + (f" ON t{n}.n = t0.n" if n else "") for n in range(4))
    with tissdb.open(notes) as db:
        db["numbers"].insert_many({"n": 1} for _ in range(300))
    for words in (("query", notes, f"SELECT COUNT(*) FROM {everything}"), ("search", notes, "notes", "first")):
        outcome = tissu("db", *words, "--timeout", "1e-6")
        assert outcome.code == 1
        assert "took longer than 1e-06 s" in outcome.err
        assert "--timeout" in tissu("db", words[0], "--help").out
    assert "for statements that read" in tissu("db", "query", notes, "DELETE FROM notes", "--timeout", "1").err
    assert tissu("db", "query", notes, "SELECT * FROM notes", "--timeout", "0").code == 2
    assert "words: place 1" in tissu("db", "search", notes, "notes", "first", "--timeout", "60").out


class TestTables:
    ID = "0123456789abcdef" * 4

    @pytest.fixture
    def long(self, notes):
        with tissdb.open(notes) as db:
            db["long"].insert({"text": "word " * 40}, id=self.ID)
        return notes

    def test_without_a_terminal_a_row_is_a_line(self, tissu, long, monkeypatch):
        monkeypatch.delenv("COLUMNS", raising=False)
        out = tissu("db", "query", long, "SELECT _id, text FROM long").out
        (row,) = [line for line in out.splitlines() if self.ID in line]
        assert row.count("word") == 40

    def test_in_a_narrow_one_nothing_is_left_out(self, tissu, long, monkeypatch):
        monkeypatch.setenv("COLUMNS", "40")
        out = tissu("db", "query", long, "SELECT _id, text FROM long").out
        assert all(len(line) <= 40 for line in out.splitlines())
        assert out.count("word") == 40
        ids = "".join(line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│"))
        assert ids == self.ID
