"""What people type is taken apart the same way everywhere."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import QueryError
from quanta_tissu.tissdb.definitions import Term
from quanta_tissu.tissdb.search.query import MOST_TERMS, parse_query


def terms(*words):
    return tuple(Term((word,)) for word in words)


def test_words_phrases_beginnings_required_and_excluded():
    query = parse_query('quick "brown fox" jum* +over -dog')
    assert query.wanted == (Term(("quick",)), Term(("brown", "fox")), Term(("jum",), prefix=True))
    assert query.required == terms("over")
    assert query.excluded == terms("dog")


def test_all_may_be_needed():
    assert parse_query("a b", "all").required == terms("a", "b")
    assert parse_query("a b", "all").wanted == ()


def test_signs_inside_words_separate_them():
    assert parse_query("os.path.join e-mail").wanted == (Term(("os", "path", "join")), Term(("e", "mail")))


def test_a_word_counts_once():
    assert parse_query("a a b").wanted == terms("a", "b")


@pytest.mark.parametrize("text", ["", "  ", "!?", '""', "-only", None, 7])
def test_a_query_without_words_is_refused(text):
    with pytest.raises(QueryError):
        parse_query(text)


def test_so_is_one_with_too_many():
    with pytest.raises(QueryError, match=f"more than {MOST_TERMS}"):
        parse_query(" ".join(f"w{n}" for n in range(MOST_TERMS + 1)))


@given(st.text())
def test_any_text_is_taken_apart_or_refused(text):
    with contextlib.suppress(QueryError):
        parse_query(text)
