"""Feedback: it changes what similar questions find, within bounds, and undoing it brings back exactly what was."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import ConfigError, ConflictError, NotFoundError
from quanta_tissu.knowledge import KnowledgeBase, NgramEmbedder
from quanta_tissu.knowledge.feedback import names

GUIDE = """# Sorting
Call sorted to put the items of a list in order.

# Orders
An order of books is a list of items to be sent.

# Weather
It rains in November.

# Runs
A run is resumed from its last checkpoint.
"""
QUESTION = "How do I put the items of a list in order?"
ALIKE = "How can I put all the items of a list in order?"
OTHER = "When does it rain?"


@pytest.fixture
def kb(every_db):
    made = KnowledgeBase(every_db, NgramEmbedder(), limit=40, overlap=8)
    made.add_text(GUIDE, "guide.md")
    return made


def headings(kb, question=QUESTION, **options):
    return [passage.heading for passage in kb.search(question, **options)]


def ranking(kb):
    """Everything that is found, with scores to the last bit."""
    return [kb.search(question, k) for question in (QUESTION, ALIKE, OTHER, "books", "rain list") for k in (2, 10)]


def passage(kb, heading, question=QUESTION):
    return next(one for one in kb.search(question, 10) if one.heading == heading)


class TestRatings:
    def test_change_the_same_question_and_similar_ones_and_no_others(self, kb):
        assert headings(kb)[:2] == headings(kb, ALIKE)[:2] == ["Sorting", "Orders"]
        others = [kb.search(OTHER), kb.search("books")]
        for who in ("ada", "bob", "grace"):
            kb.feedback.rate(QUESTION, passage(kb, "Orders"), True, who=who)
            kb.feedback.rate(QUESTION, passage(kb, "Sorting"), False, who=who)
        assert headings(kb)[:2] == headings(kb, ALIKE)[:2] == ["Orders", "Sorting"]
        best = kb.search(QUESTION)[0]
        assert best.feedback == pytest.approx(0.9951, abs=1e-4), "tanh(3)"
        assert 0 < kb.search(ALIKE)[0].feedback < best.feedback
        assert [kb.search(OTHER), kb.search("books")] == others

    def test_can_be_left_out(self, kb):
        before = kb.search(QUESTION)
        kb.feedback.rate(QUESTION, passage(kb, "Orders"), True)
        assert kb.search(QUESTION, feedback=False) == before
        assert headings(kb, mode="words") == headings(kb, mode="words", feedback=False)

    def test_move_a_passage_by_less_than_one_however_many_there_are(self, kb):
        orders = passage(kb, "Orders")
        for number in range(12):
            kb.feedback.rate(QUESTION, orders, True, who=f"person {number}")
        assert 0.99 < passage(kb, "Orders").feedback < 1 + 1e-9

    def test_of_one_person_the_last_word_counts(self, kb):
        orders = passage(kb, "Orders")
        for good in (True, True, True, False):
            last = kb.feedback.rate(QUESTION, orders, good, who="ada")
        assert passage(kb, "Orders").feedback == pytest.approx(-0.7616, abs=1e-4)
        kb.feedback.undo(last.id)
        assert passage(kb, "Orders").feedback == pytest.approx(0.7616, abs=1e-4)

    def test_of_an_answer_are_shared_by_what_it_cites(self, kb):
        answer = kb.answer(QUESTION)
        assert len(answer.citations) == 2
        record = kb.feedback.rate(QUESTION, answer, True)
        assert {about.text.split()[0] for about in record.about} == {"Call", "An"}
        assert passage(kb, "Sorting").feedback == pytest.approx(0.4621, abs=1e-4), "tanh(1/2)"

    def test_bring_up_what_the_search_alone_does_not_find(self, every_db):
        kb = KnowledgeBase(every_db, NgramEmbedder(), limit=40, overlap=8)
        kb.add_text("\n\n".join(f"# {n}\nThe items of list {n} are put in order." for n in range(60)), "many.md")
        kb.add_text("# Rain\nIt rains in November.", "rain.md")
        assert "Rain" not in headings(kb, k=10)
        kb.feedback.pin(QUESTION, kb.search("November rains", 1)[0])
        found = kb.search(QUESTION, 10)
        assert (found[0].heading, len(found)) == ("Rain", 10)
        assert found[0].words is None
        assert found[0].nearness is not None
        used = kb.answer(QUESTION, relevant=0.9).passages
        assert [one.heading for one in used] == ["Rain"], "what people have pinned is relevant"


class TestCorrections:
    def test_a_pinned_passage_is_first_and_a_demoted_one_last(self, kb):
        kb.feedback.rate(QUESTION, passage(kb, "Sorting"), True)
        kb.feedback.pin(QUESTION, passage(kb, "Weather"))
        kb.feedback.demote(QUESTION, passage(kb, "Sorting"))
        found = headings(kb)
        assert (found[0], found[-1]) == ("Weather", "Sorting")
        assert headings(kb, ALIKE)[0] == "Weather"

    def test_of_pinned_and_demoted_the_last_counts(self, kb):
        weather = passage(kb, "Weather")
        kb.feedback.demote(QUESTION, weather)
        kb.feedback.pin(QUESTION, weather)
        assert headings(kb)[0] == "Weather"

    def test_a_corrected_answer_is_a_passage_with_its_source(self, kb):
        record = kb.feedback.correct("When does it rain?", "Only on Mondays.", who="grace", why="seen it")
        best = kb.search("When will it rain?")[0]
        assert (best.text, best.heading) == ("Only on Mondays.", "When does it rain?")
        assert best.source == f"correction {record.id}"
        assert best.where == f"correction {record.id}, line 1"
        assert str(kb.answer("When does it rain?")).startswith("Only on Mondays. [1]")
        assert kb.sources() == ["guide.md"], "it is no file"
        kb.add_text(GUIDE + "\nMore.", "guide.md")
        assert kb.search("When will it rain?")[0].text == "Only on Mondays."

    def test_a_long_answer_becomes_several_passages(self, kb):
        before = len(kb)
        long = " ".join(f"Day {number} is dry." for number in range(40))
        record = kb.feedback.correct("When does it rain?", long)
        made = len(kb) - before
        assert made == len(record.about) > 1
        kb.feedback.undo(record.id)
        assert len(kb) == before


class TestUndoing:
    def test_everything_is_recorded_with_who_when_and_why(self, kb):
        first = kb.feedback.rate(QUESTION, passage(kb, "Orders"), False, who="ada", why="about books")
        second = kb.feedback.correct(OTHER, "Only on Mondays.", who="grace")
        assert kb.feedback.records() == [first, second]
        assert (first.kind, first.value, first.who, first.why) == ("rating", -1, "ada", "about books")
        assert (first.question, first.about[0].where, first.undone) == (QUESTION, "guide.md, line 5", None)
        assert second.time > first.time
        undone = kb.feedback.undo(first.id, who="bob", why="it was right")
        assert (undone.undone.who, undone.undone.why) == ("bob", "it was right")
        assert kb.feedback[first.id] == undone
        assert kb.feedback.records() == [undone, second]
        assert kb.feedback.records(undone=False) == [second]
        with pytest.raises(ConflictError, match="is undone already"):
            kb.feedback.undo(first.id)

    def test_rankings_after_undoing_equal_those_before(self, kb):
        """Scores and order, to the last bit, whatever was given and in whatever order it is taken back."""
        steps = [
            lambda: kb.feedback.rate(QUESTION, passage(kb, "Orders"), True, who="ada"),
            lambda: kb.feedback.rate(ALIKE, passage(kb, "Sorting"), False, who="bob"),
            lambda: kb.feedback.correct(OTHER, "Only on Mondays does it rain on the list."),
            lambda: kb.feedback.pin(QUESTION, passage(kb, "Weather")),
            lambda: kb.feedback.demote(ALIKE, passage(kb, "Sorting")),
            lambda: kb.feedback.rate(QUESTION, kb.search(QUESTION)[:2], False, who="ada"),
        ]
        rankings, records = [ranking(kb)], []
        for step in steps:
            records.append(step())
            rankings.append(ranking(kb))
        assert all(a != b for a, b in pairwise(rankings)), "each step changed something"
        for number in reversed(range(len(steps))):
            kb.feedback.undo(records[number].id)
            assert ranking(kb) == rankings[number]
        again = [step() for step in steps]
        random.Random(0).shuffle(again)
        for record in again:
            kb.feedback.undo(record.id)
        assert ranking(kb) == rankings[0]
        assert len(kb) == 4

    def test_feedback_outlives_a_file_that_is_added_again(self, kb):
        kb.feedback.pin(QUESTION, passage(kb, "Weather"))
        kb.remove("guide.md")
        assert kb.search(QUESTION) == []
        kb.add_text(GUIDE, "guide.md")
        assert headings(kb)[0] == "Weather"


class TestNames:
    """Questions that name different things are not the same, however alike their words."""

    def test_what_is_said_of_one_thing_does_not_count_for_another(self, kb):
        kb.add_text("# json.load\nReads a file.\n\n# json.loads\nReads a text.", "json.md")
        asked = "What does json.load do?"
        kb.feedback.rate(asked, kb.search(asked)[0], True)
        assert kb.search(asked)[0].feedback > 0
        assert kb.search("What is json.load for?")[0].feedback > 0
        assert all(hit.feedback == 0 for hit in kb.search("What does json.loads do?"))

    @pytest.mark.parametrize(
        ("question", "found"),
        [
            ("How do I sort a list?", set()),
            ("What does heapq.merge do?", {"heapq.merge"}),
            ("heapq.merge usage", {"heapq.merge"}),
            ("Who is Ada Lovelace?", {"ada", "lovelace"}),
            ("Why error 404? What now? And I?", {"404"}),
            ('"Quoted words" in my_file', {"my_file"}),
            ("A big THING", {"thing"}),
            ("it ends here.", set()),
        ],
    )
    def test_are_words_with_capitals_digits_dots_or_underscores(self, question, found):
        assert names(question) == found

    @given(st.text())
    def test_of_any_text_are_small_letters_of_it(self, question):
        assert all(name == name.casefold() for name in names(question))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda kb, one: kb.feedback.rate(" ", one, True), ConfigError, "the question ' ' has no words"),
        (lambda kb, one: kb.feedback.rate("?", one, True), ConfigError, "has no words"),
        (lambda kb, one: kb.feedback.rate("x", [], True), ConfigError, "there is no passage to rate"),
        (lambda kb, one: kb.feedback.rate("x", one, True, who=""), ConfigError, "'' is no name of a person"),
        (lambda kb, one: kb.feedback.correct("x", " "), ConfigError, "the corrected answer is empty"),
        (lambda kb, one: kb.feedback.undo("x"), NotFoundError, "there is no feedback 'x'"),
        (lambda kb, one: kb.passage("x"), NotFoundError, "'x'"),
    ],
)
def test_what_means_nothing_is_refused(kb, call, error, message):
    with pytest.raises(error, match=message):
        call(kb, passage(kb, "Sorting"))
    assert kb.feedback.records() == []
    assert len(kb) == 4


def test_a_passage_that_is_gone_cannot_be_rated(kb):
    gone = passage(kb, "Sorting")
    kb.remove("guide.md")
    with pytest.raises(NotFoundError, match="is not there any more"):
        kb.feedback.rate(QUESTION, gone, True)
    assert kb.feedback.records() == []


def test_a_passage_is_there_by_its_id(kb):
    found = passage(kb, "Sorting")
    assert kb.passage(found.id).text == found.text
