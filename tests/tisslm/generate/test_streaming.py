"""Text from tokens as they come: whole characters, and nothing that may belong to a stop string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.generate import TextStream

CUTS = st.lists(st.integers(1, 4), min_size=1, max_size=8)
FEW_LETTERS = st.text("abé", max_size=20)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """The bytes cut into pieces of these sizes, over and over."""
    result = []
    while data:
        size = sizes[len(result) % len(sizes)]
        result.append(data[:size])
        data = data[size:]
    return result


def stream(data: bytes, sizes: list[int], stop: list[str] = ()) -> tuple[list[str], bool]:
    """Everything the stream emits, and whether it met a stop string."""
    text = TextStream(stop)
    emitted = [text.feed(piece) for piece in pieces(data, sizes)]
    return [*emitted, text.finish()], text.stopped


@given(st.text(), CUTS)
def test_any_text_comes_through_whatever_the_pieces(text, sizes):
    emitted, stopped = stream(text.encode(), sizes)
    assert "".join(emitted) == text
    assert not stopped


@given(st.text(min_size=1), CUTS)
def test_every_character_is_emitted_with_its_last_byte_and_not_before(text, sizes):
    emitter, fed = TextStream(), b""
    emitted = ""
    for piece in pieces(text.encode(), sizes):
        fed += piece
        emitted += emitter.feed(piece)
        assert emitted == fed.decode(errors="ignore")


@given(st.binary(), CUTS)
def test_bytes_of_no_character_become_the_replacement_character(data, sizes):
    """As Python decodes them; only an incomplete character at the very end is left out."""
    whole = data.decode(errors="replace")
    text = "".join(stream(data, sizes)[0])
    assert text in (whole, whole.removesuffix("\ufffd"))
    if data[-1:] < b"\x80":
        assert text == whole


def test_half_a_character_at_the_end_is_left_out():
    assert stream("né".encode()[:-1], [1])[0] == ["n", "", ""]


def test_a_possible_beginning_of_a_stop_string_is_held_back():
    text = TextStream(["END"])
    assert [text.feed(piece) for piece in (b"a E", b"N", b"x", b"E", b"N", b"D", b"more")] == [
        "a ", "", "ENx", "", "", "", "",
    ]  # fmt: skip
    assert text.stopped
    assert text.finish() == ""


def test_what_was_held_back_comes_at_the_end():
    assert stream(b"the EN", [3], ["END"])[0] == ["the", " ", "EN"]


@given(FEW_LETTERS, st.lists(st.text("abé", min_size=1, max_size=4), min_size=1, max_size=3), CUTS)
def test_the_text_ends_before_a_stop_string(text, stop, sizes):
    emitted, stopped = stream(text.encode(), sizes, stop)
    result = "".join(emitted)
    assert stopped == any(end in text for end in stop)
    if not stopped:
        assert result == text
        return
    assert not any(end in result for end in stop)
    assert any(text.startswith(result + end) for end in stop)


def test_of_two_stop_strings_the_earlier_one_counts():
    assert stream(b"one two three", [13], ["three", "two"]) == (["one ", ""], True)


def test_an_empty_stop_string_is_an_error():
    with pytest.raises(ConfigError, match="a stop string is empty"):
        TextStream(["\n", ""])
