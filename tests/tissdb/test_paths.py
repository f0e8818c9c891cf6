"""Paths into documents are read and written alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.paths import parse_path, path_text

KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("title", ("title",)),
        ("author.name", ("author", "name")),
        ("a.b[0].c", ("a", "b", 0, "c")),
        ('author."last name"[12]', ("author", "last name", 12)),
        ("größe", ("größe",)),
    ],
)
def test_steps(text, path):
    assert parse_path(text) == path
    assert path_text(path) == text


@given(st.tuples(KEYS, st.lists(KEYS | st.integers(0, 999_999))).map(lambda parts: (parts[0], *parts[1])))
def test_any_path_can_be_written_and_read(path):
    assert parse_path(path_text(path)) == path


@pytest.mark.parametrize(
    "bad", ["", "[0]", "a..b", ".a", "a b", "a.[0]", "a[x]", "a[-1]", '"', "a.", "1a", 'a"b"']
)
def test_what_is_no_path_is_refused(bad):
    with pytest.raises(DatabaseError, match="no path"):
        parse_path(bad)
