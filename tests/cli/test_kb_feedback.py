"""`tissu kb rate`, `correct` and `feedback`: what people say changes what is found, and is taken back."""

from __future__ import annotations

import json

import pytest

GUIDE = """# Sorting
Call sorted to put the items of a list in order.

# Order
An order of books is a list of items to be sent.

# Weather
It rains in November.
"""
QUESTION = "put the items of a list in order"


@pytest.fixture
def base(tmp_path, tissu):
    """A database that knows a guide."""
    (tmp_path / "guide.md").write_text(GUIDE)
    path = str(tmp_path / "k.db")
    assert tissu("kb", "add", path, str(tmp_path / "guide.md"), "--embedder", "ngrams-256").code == 0
    return path


@pytest.fixture
def found(base, tissu):
    """Headings that a search finds, in order."""

    def search(question=QUESTION, *options):
        out = tissu("kb", "search", base, question, "--json", *options).out
        return [json.loads(line)["heading"] for line in out.splitlines()]

    return search


def test_a_rating_changes_what_is_found_and_is_undone(base, tissu, found):
    assert found() == ["Sorting", "Order", "Weather"]
    rated = tissu("kb", "rate", base, QUESTION, "bad", "-p", "1", "--why", "about lists", "--json")
    record = json.loads(rated.out)
    assert (record["kind"], record["value"], record["why"]) == ("rating", -1, "about lists")
    assert tissu("kb", "rate", base, QUESTION, "good", "--passage", "2").out.startswith("good: ")
    assert found() == ["Order", "Sorting", "Weather"]
    assert found(QUESTION, "--no-feedback") == ["Sorting", "Order", "Weather"]
    assert "feedback +0.76)" in tissu("kb", "search", base, QUESTION).out
    listed = tissu("kb", "feedback", "list", base).out
    assert "bad: about lists\n  question: put the items of a list in order\n  passage: " in listed
    ids = [line.split()[0] for line in listed.splitlines() if not line.startswith(" ")]
    undone = tissu("kb", "feedback", "undo", base, *ids)
    assert undone.out == f"{ids[0]}: undone (bad)\n{ids[1]}: undone (good)\n"
    assert found() == ["Sorting", "Order", "Weather"]
    assert tissu("kb", "feedback", "list", base).out == "no feedback\n"
    everything = tissu("kb", "feedback", "list", base, "--all", "--json").out.splitlines()
    assert [json.loads(line)["undone"] is not None for line in everything] == [True, True]


def test_without_a_passage_the_answer_is_rated(base, tissu):
    record = json.loads(tissu("kb", "rate", base, "how do I put a list in order", "good", "--json").out)
    assert len(record["about"]) >= 1
    nothing = tissu("kb", "rate", base, "which wine goes with trout", "good")
    assert (nothing.code, "no passage to rate" in nothing.err) == (2, True)


def test_corrections_pin_demote_and_answer(base, tissu, found):
    assert tissu("kb", "correct", base, QUESTION, "--pin", "3").code == 0
    assert found()[0] == "Weather"
    assert tissu("kb", "correct", base, QUESTION, "--demote", "1").out.startswith("demoted: ")
    assert found()[-1] == "Weather"
    told = tissu("kb", "correct", base, "will it rain?", "--answer", "Only on Mondays.")
    assert told.out.startswith("corrected: correction ")
    assert tissu("kb", "ask", base, "will it rain?").out.startswith("Only on Mondays. [1]")
    id = told.out.split()[-1]
    assert tissu("kb", "feedback", "undo", base, id, "--json").code == 0
    assert "Mondays" not in tissu("kb", "ask", base, "will it rain?").out


def test_a_passage_is_named_by_its_id_too(base, tissu, found):
    lines = tissu("kb", "search", base, QUESTION, "--json").out.splitlines()
    id = json.loads(lines[2])["id"]
    assert tissu("kb", "correct", base, QUESTION, "--pin", id).out.startswith("pinned: ")
    assert found()[0] == "Weather"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["rate", "DB", QUESTION, "good", "-p", "9"], 2, "there is no passage 9: 3 are found"),
        (["rate", "DB", QUESTION, "good", "-p", "x"], 1, "'x'"),
        (["correct", "DB", QUESTION], 2, "give one of --pin, --demote and --answer"),
        (["correct", "DB", QUESTION, "--pin", "1", "--demote", "2"], 2, "give one of --pin"),
        (["correct", "DB", QUESTION, "--answer", " "], 2, "the corrected answer is empty"),
        (["feedback", "undo", "DB", "x"], 1, "there is no feedback 'x'"),
        (["feedback", "list", "DB", "--collection", "other"], 1, "there is no collection 'other'"),
    ],
)
def test_what_means_nothing_is_refused(base, tissu, arguments, code, message):
    outcome = tissu("kb", *[base if argument == "DB" else argument for argument in arguments])
    assert outcome.code == code
    assert message in outcome.err
