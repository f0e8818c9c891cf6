"""`tissu db create`, `index`, `tune` and `drop`."""

from __future__ import annotations

import json

import numpy as np
import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.search import tuning


def test_a_database_and_a_collection_are_made_once(tissu, tmp_path):
    path, schema = str(tmp_path / "new.db"), tmp_path / "schema.json"
    schema.write_text('{"required": ["mail"]}')
    for _ in range(2):
        assert tissu("db", "create", path).code == 0
        assert tissu("db", "create", path, "people", "--schema", str(schema), "--ttl", "60").code == 0
    outcome = tissu("db", "put", path, "people", "{}")
    assert outcome.code == 1
    assert "against the schema" in outcome.err
    assert tissu("db", "create", path, "people", "--ttl", "61").code == 1


def test_indexes_of_every_kind_are_made(tissu, notes):
    assert tissu("db", "index", notes, "notes", "stars").code == 0
    assert tissu("db", "index", notes, "notes", "one", "--kind", "unique", "--field", "author.name").code == 0
    assert (
        tissu("db", "index", notes, "notes", "plain", "--kind", "text", "--field", "title", "--no-stemming").code
        == 0
    )
    args = ("--kind", "vector", "--dimension", "2", "--metric", "l2", "--storage", "int8")
    assert tissu("db", "index", notes, "notes", "near", *args).code == 0
    with tissdb.open(notes) as db:
        indexes = db["notes"].indexes
        assert {index.name: index.kind for index in indexes.values()} == {
            "words": "text",
            "stars": "value",
            "one": "unique",
            "plain": "text",
            "near": "vector",
        }
        assert indexes["plain"].options["stemming"] is False
        assert indexes["near"].options["storage"] == "int8"
        assert (indexes["near"].options["dimension"], indexes["near"].options["metric"]) == (2, "l2")


def test_dropping_asks_unless_told_not_to(tissu, notes, typed):
    typed("")
    outcome = tissu("db", "drop", notes, "notes")
    assert outcome.code == 2
    assert "notes with 3 documents would be dropped" in outcome.err
    assert tissu("db", "drop", notes, "notes", "--index", "words").code == 0
    assert tissu("db", "drop", notes, "notes", "--yes").out == "dropped notes with 3 documents\n"
    outcome = tissu("db", "drop", notes, "notes", "--yes")
    assert outcome.code == 1
    assert "there is no collection 'notes'" in outcome.err


def test_in_a_terminal_the_answer_counts(tissu, notes, typed, monkeypatch):
    typed("n\n")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert tissu("db", "drop", notes, "notes").code == 130
    with tissdb.open(notes) as db:
        assert len(db["notes"]) == 3


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["create", "DB", "--ttl", "3"], "name the collection"),
        (["create", "DB", "x", "--ttl", "0"], "Invalid value for '--ttl'"),
        (["create", "DB", "x", "--schema", "none.json"], "No such file"),
        (["create", "DB", "x", "--schema", "BAD"], "is not JSON"),
        (["create", "DB", "x", "--schema", "LIST"], "a schema is an object"),
        (["index", "DB", "notes", "words", "--kind", "text"], "has an index 'words' already"),
        (["index", "DB", "notes", "v", "--kind", "vector"], "dimension"),
        (["index", "DB", "notes", "v", "--dimension", "3"], "has no options"),
        (["index", "DB", "notes", "v", "--field", "a["], "no path"),
        (["index", "DB", "notes", "v", "--kind", "odd"], "'odd' is not one of"),
        (["drop", "DB", "notes", "--index", "none"], "has no index 'none'"),
    ],
)
def test_what_is_wrong_is_said(tissu, notes, tmp_path, args, says):
    files = {"DB": notes, "BAD": str(tmp_path / "bad.json"), "LIST": str(tmp_path / "list.json")}
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    outcome = tissu("db", *(files.get(arg, arg) for arg in args))
    assert outcome.code in (1, 2)
    assert says in outcome.err


class TestTune:
    def test_few_vectors_stay_exact(self, tissu, notes):
        tissu("db", "index", notes, "notes", "near", "--kind", "vector", "--dimension", "2")
        outcome = tissu("db", "tune", notes, "notes", "near", "--recall", "0.9")
        assert outcome.code == 0
        assert "near of notes is searched exactly: 0 vectors" in outcome.out
        assert tissu("db", "tune", notes, "notes", "near", "--recall", "2").code == 1
        assert tissu("db", "tune", notes, "nodes", "near").code == 1

    def test_what_was_measured_is_said_and_listed(self, tissu, notes, monkeypatch):
        monkeypatch.setattr(tuning, "FEWEST", 100)
        monkeypatch.setattr(tuning, "LEAST", 1)
        monkeypatch.setattr(tuning, "_GAIN", float("inf"))
        with tissdb.open(notes) as db:
            db["notes"].create_index("near", kind="vector", dimension=2)
            turns = np.linspace(0, 2 * np.pi, 2_000)
            db["notes"].insert_many({"_vectors": {"near": [np.cos(turn), np.sin(turn)]}} for turn in turns)
        outcome = tissu("db", "tune", notes, "notes", "near", "--recall", "0.9")
        assert "near of notes is searched approximately" in outcome.out
        assert "with 95 % certainty above 0.9" in " ".join(outcome.out.split())
        assert "approximate: recall" in " ".join(tissu("db", "stats", notes).out.split())
        stats = json.loads(tissu("db", "stats", notes, "--json").out)
        assert stats["collections"]["notes"]["tuned"]["near"]["recall"] >= 0.9


def test_settings_of_a_collection_are_altered(tissu, notes, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text('{"required": ["title"]}')
    assert tissu("db", "alter", notes, "notes", "--schema", str(schema), "--ttl", "60").code == 0
    assert "against the schema" in tissu("db", "put", notes, "notes", "{}").err
    assert tissu("db", "alter", notes, "notes", "--no-schema", "--no-ttl").code == 0
    assert tissu("db", "put", notes, "notes", "{}", "--id", "fourth").code == 0
    refused = tissu("db", "alter", notes, "notes", "--schema", str(schema))
    assert refused.code == 1
    assert "'fourth': the document" in refused.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing is to be altered"),
        (("--ttl", "1", "--no-ttl"), "--ttl and --no-ttl contradict each other"),
        (("--ttl", "-1"), "Invalid value for '--ttl'"),
    ],
)
def test_alterations_that_mean_nothing_are_refused(tissu, notes, options, said):
    outcome = tissu("db", "alter", notes, "notes", *options)
    assert outcome.code != 0
    assert said in outcome.err
