"""What a run changed in files."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslang.journal.blobs import BlobFolder, reference_of
from quanta_tissu.tisslang.report.changes import Change, Contents, as_text, changes_of, difference, in_all
from quanta_tissu.tisslang.report.story import Entry


def _digest(text: str) -> str:
    return reference_of(text.encode())


def _entry(op: str, files: list, text: str | None = None, **fields) -> Entry:
    args = {"path": "a.txt"} if text is None else {"path": "a.txt", "text": text}
    return Entry(
        "effect", 1, datetime.now(UTC), {"op": op, "args": args} | fields, {"status": "ok", "files": files}
    )


@pytest.fixture
def blobs(tmp_path):
    return BlobFolder(tmp_path / "blobs")


def test_what_was_written_is_known_from_the_effects_themselves(blobs):
    one, two = _digest("one\n"), _digest("one\ntwo\n")
    written = [
        _entry("WRITE", [["A", "a.txt", None, one]], "one\n"),
        _entry("APPEND", [["M", "a.txt", one, two]], "two\n"),
        _entry("WRITE", [["M", "a.txt", two, _digest("hidden")]], "[secret TOKEN]"),
    ]
    contents = Contents(blobs, written)
    assert contents.get(None) == b""
    assert contents.get(one) == b"one\n"
    assert contents.get(two) == b"one\ntwo\n"
    assert contents.get(_digest("hidden")) is None
    assert contents.get("nonsense") is None


def test_what_was_stored_is_known_from_the_blobs(blobs):
    assert Contents(blobs, []).get(blobs.put(b"before")) == b"before"


def test_what_a_run_changed_in_all():
    effects = [
        _entry("WRITE", [["A", "new", None, "1"], ["M", "same", "1", "2"], ["A", "passing", None, "1"]]),
        _entry("WRITE", [["M", "new", "1", "2"], ["M", "same", "2", "1"], ["D", "passing", "1", None]]),
        _entry("DELETE", [["D", "old", "1", None]]),
        _entry("WRITE", [["A", "discarded", None, "1"]], transaction="0:STEP"),
        _entry("COMMIT", [["M", "kept", "1", "2"]], transaction="0:STEP"),
        _entry("RUN", [["A", "nothing"], "nonsense", ["A", 1, None, None]]),
    ]
    assert in_all(effects) == [
        Change("M", "kept", "1", "2"),
        Change("A", "new", None, "2"),
        Change("D", "old", "1", None),
    ]
    assert changes_of(_entry("RUN", None)) == []


@given(
    before=st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30),
    after=st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30),
)
def test_a_difference_makes_one_text_of_the_other(before, after):
    found = difference("\n".join(before), "\n".join(after))
    old, new = "\n".join(before).splitlines(), "\n".join(after).splitlines()
    for sign, one, two, text in found.lines:
        assert sign == "~" or one is None or old[one - 1] == text
        assert sign == "~" or two is None or new[two - 1] == text
    assert found.added - found.removed == len(new) - len(old)
    kept = [one for number, one in enumerate(old, 1) if ("-", number) not in {line[:2] for line in found.lines}]
    gone = {two for sign, _, two, _ in found.lines if sign == "+"}
    assert kept == [one for number, one in enumerate(new, 1) if number not in gone]


def test_differences_that_lines_do_not_show_are_said():
    assert difference("a\n", "a").lines == (("~", None, None, "only the ends of lines differ"),)
    assert difference("a", "a").lines == ()


def test_what_is_no_text():
    assert as_text(b"\xff") is None
    assert as_text(b"a\0") is None
    assert as_text("grün".encode()) == "grün"
