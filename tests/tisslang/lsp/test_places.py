from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as lsp

from quanta_tissu.tisslang.lsp.places import Places
from quanta_tissu.tisslang.source import Span

TEXTS = st.text(alphabet=st.sampled_from("aé日😀\n\r \u2028"), max_size=30)
UNITS = {"utf-8": 1, "utf-16": 2, "utf-32": 4}
CODECS = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}


class TestPlaces:
    @given(TEXTS, st.sampled_from(list(UNITS)), st.data())
    def test_there_and_back_is_the_same_place(self, text, encoding, data):
        places = Places(text, encoding)
        offset = data.draw(st.integers(0, len(text)))
        back = places.offset(places.position(offset))
        inside = 0 < offset < len(text) and text[offset - 1 : offset + 1] == "\r\n"
        assert back == (offset - 1 if inside else offset)

    @given(TEXTS, st.sampled_from(list(UNITS)))
    def test_columns_are_code_units_as_the_encoding_has_them(self, text, encoding):
        places = Places(text, encoding)
        line = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[0]
        end = places.position(len(line))
        assert (end.line, end.character) == (0, len(line.encode(CODECS[encoding])) // UNITS[encoding])

    @given(TEXTS, st.integers(0, 40), st.integers(0, 40))
    def test_any_position_is_some_place(self, text, line, character):
        assert 0 <= Places(text).offset(lsp.Position(line, character)) <= len(text)

    def test_the_middle_of_a_character_is_before_it(self):
        assert Places("a😀b").offset(lsp.Position(0, 2)) == 1

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_lines_end_as_the_protocol_says(self, end):
        assert Places(f"ab{end}cd").position(2 + len(end)) == lsp.Position(1, 0)

    def test_characters_are_parted_by_lines(self):
        text = "a\nbc\r\n\nd"
        assert Places(text).lines(Span(0, len(text))) == [Span(0, 1), Span(2, 4), Span(7, 8)]
        assert Places(text).lines(Span(3, 3)) == []
        assert Places("é😀").length("é😀") == 3
