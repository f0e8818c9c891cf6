from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslang.engine.values import Unknown
from quanta_tissu.tisslang.planning.patterns import covers, path_pattern, pattern_of

patterns = st.text("ab*/", max_size=7)


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("a.txt", "a.txt"),
        ("a*", "a[*]"),
        (Unknown("out/{name}.txt"), "out/*.txt"),
        (Unknown("{a}{b}"), "*"),
        (Unknown("{a}*"), "*[*]"),
        (Unknown("{a {b} c}x"), "*x"),
        (Unknown("a{never closed"), "a*"),
        (Unknown("a}b"), "a}b"),
        ([Unknown("{a}")], "*"),
        (3, "3"),
    ],
)
def test_what_is_not_known_is_a_star(value, pattern):
    assert pattern_of(value) == pattern


def test_paths_are_written_without_detours_but_those_that_a_hole_may_have():
    assert path_pattern("./a//b/./c/") == "a/b/c"
    assert path_pattern("/a/b") == "/a/b"
    assert path_pattern("a/../b") == "a/../b"


@pytest.mark.parametrize(
    ("whole", "part", "does"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("*", "a*b", True),
        ("a*", "a*b", True),
        ("a*b", "a*", False),
        ("a", "*", False),
        ("a*b*c", "abxbc", True),
        ("*[*]", "a[*]", True),
        ("[*]", "*", False),
        ("[*]", "a", False),
        ("", "", True),
        ("*", "", True),
        ("", "*", False),
        ("**", "*", True),
    ],
)
def test_a_pattern_covers_what_has_no_other_texts(whole, part, does):
    assert covers(whole, part) is does


@given(patterns, patterns, st.lists(st.text("ab/", max_size=5), max_size=7))
def test_what_a_covered_pattern_means_the_covering_one_means_too(whole, part, fillings):
    if covers(whole, part):
        text = part
        for one in [*fillings, *[""] * 7][: part.count("*")]:
            text = text.replace("*", one, 1)
        assert fnmatch.fnmatchcase(text, whole)


@given(patterns, st.text("ab/", max_size=7))
def test_a_text_is_covered_by_what_it_matches(pattern, text):
    assert covers(pattern, text) == fnmatch.fnmatchcase(text, pattern)
