from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslang.source import SourceFile, Span


class TestSourceFile:
    def test_names_places_by_line_and_column_from_one(self):
        source = SourceFile("one\ntwo\n")
        assert source.position(0) == (1, 1)
        assert source.position(4) == (2, 1)
        assert source.position(6) == (2, 3)
        assert source.position(8) == (3, 1)

    def test_a_line_has_not_what_ends_it(self):
        source = SourceFile("one\r\ntwo\nthree")
        assert [source.line_text(n) for n in (1, 2, 3)] == ["one", "two", "three"]
        assert source.line_count == 3

    def test_a_place_that_is_not_there_is_the_nearest_that_is(self):
        source = SourceFile("one\ntwo")
        assert source.offset(1, 99) == 3
        assert source.offset(99, 1) == 4
        assert source.offset(0, 0) == 0

    @given(st.text(st.sampled_from("ab\n\r\té漢"), max_size=30), st.data())
    def test_offsets_and_places_agree(self, text, data):
        source = SourceFile(text)
        offset = data.draw(st.integers(0, len(text)))
        line, column = source.position(offset)
        start, end = source.line_span(line)
        assert source.offset(line, column) == min(offset, end)
        assert source[Span(start, end)] == source.line_text(line)
