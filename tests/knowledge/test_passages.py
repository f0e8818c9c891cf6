"""Passages: nothing is lost, nothing is too long, and places are those of the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.knowledge.embedders import count_words
from quanta_tissu.knowledge.passages import Block, FoundPassage, Passage, split
from quanta_tissu.knowledge.readers.text import read_text


def test_paragraphs_that_fit_stand_together_and_places_are_lines():
    text = "one two three\n\nfour five\nsix\n\n\nseven eight nine ten"
    first, second = split(read_text(text), count_words, limit=7, overlap=0)
    assert (first.text, first.first, first.last) == ("one two three\n\nfour five\nsix", 1, 4)
    assert (second.text, second.first, second.last) == ("seven eight nine ten", 7, 7)


def test_a_passage_begins_with_the_end_of_the_one_before():
    text = "\n".join(f"line {i}" for i in range(9))
    passages = split(read_text(text), count_words, limit=8, overlap=2)
    assert [(p.first, p.last) for p in passages] == [(1, 4), (4, 7), (7, 9)]


def test_a_paragraph_is_not_torn_if_it_fits_by_itself():
    blocks = read_text("a b c\n\nd e f\ng h")
    assert [p.text for p in split(blocks, count_words, limit=6, overlap=0)] == ["a b c", "d e f\ng h"]


def test_other_headings_begin_another_passage_without_overlap():
    blocks = [Block("a", ("x",), 1, 1), Block("b", ("x", "y"), 3, 3), Block("c", ("x",), 5, 5)]
    passages = split(blocks, count_words, limit=10, overlap=5)
    assert [(p.heading, p.text) for p in passages] == [("x", "a"), ("x › y", "b"), ("x", "c")]


def test_a_line_that_is_too_long_is_cut_between_words():
    passages = split(read_text("  " + " ".join("abcdefghij")), count_words, limit=4, overlap=0)
    assert [p.text.strip() for p in passages] == ["a b c d", "e f g h", "i j"]
    assert {(p.first, p.last) for p in passages} == {(1, 1)}


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "bb c", "d, e", "", "   indented", "word " * 30]), max_size=8), max_size=8
    ),
    st.integers(2, 30),
    st.data(),
)
def test_every_word_is_in_a_passage_and_none_is_too_long(paragraphs, limit, data):
    overlap = data.draw(st.integers(0, limit - 1))
    text = "\n\n".join("\n".join(lines) for lines in paragraphs)
    lines = text.splitlines()
    passages = split(read_text(text), count_words, limit=limit, overlap=overlap)
    assert all(count_words([p.text])[0] <= limit for p in passages)
    covered = {number for p in passages for number in range(p.first, p.last + 1)}
    assert {number for number, line in enumerate(lines, 1) if line.strip()} <= covered
    for p in passages:
        assert set(p.text.split()) <= set(" ".join(lines[p.first - 1 : p.last]).split())
    if overlap == 0:
        assert " ".join(p.text for p in passages).split() == text.split()


def test_a_passage_is_told_from_others_by_its_words_alone():
    passage = Passage("text", ("a",), 1, 2)
    assert passage.digest == Passage("text", ("a",), 7, 8).digest
    assert passage.digest != Passage("text", ("b",), 1, 2).digest
    assert passage.embedded == "a\ntext"


def test_places_read_as_people_say_them():
    found = FoundPassage("1", "a.md", "", "x", "line", 3, 9, 1.0, 1, None)
    assert found.where == "a.md, lines 3-9"
    assert FoundPassage("1", "a.pdf", "", "x", "page", 3, 3, 1.0, 1, None).where == "a.pdf, page 3"
