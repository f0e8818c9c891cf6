from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.expressions import Hole, Piece, Text
from quanta_tissu.tisslang.syntax.parser import parse


def read(text: str) -> tuple[Text, SourceFile]:
    source = SourceFile(f"LOG {text}")
    script = parse(source)
    assert script.diagnostics == ()
    [statement] = script.statements
    return statement.value, source


def codes(text: str) -> list[str]:
    return [one.code for one in parse(SourceFile(f"LOG {text}")).diagnostics]


class TestStrings:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ('""', ""),
            ('"plain"', "plain"),
            ("'it says \"x\"'", 'it says "x"'),
            (r'"\n\t\r\0\\\"\{\}"', '\n\t\r\0\\"{}'),
            (r'"\u{1F642}\u{e9}"', "\U0001f642é"),
            ('"{{{{x}}"', "{{x}}"),
            (r'"\{{x}}"', "{{x}}"),
            ('"}}"', "}}"),
        ],
    )
    def test_say_what_they_say(self, text, value):
        assert read(text)[0].plain == value

    @pytest.mark.parametrize("text", [r'"\d"', r'"\u{110000}"', r'"\u{D800}"', r'"\u{}"', r'"\u12"'])
    def test_other_escapes_are_mistakes(self, text):
        assert codes(text) == ["E004"]

    def test_a_mended_escape_is_right(self):
        source = SourceFile(r'LOG "\d"')
        [mistake] = parse(source).diagnostics
        [edit] = mistake.edits
        mended = source.text[: edit.span.start] + edit.text + source.text[edit.span.end :]
        assert parse(SourceFile(mended)).statements[0].value.plain == r"\d"


class TestHoles:
    def test_are_read_with_where_they_are(self):
        text, source = read("""\"a {{ user.names[0]['x y'] | upper | json }} b\"""")
        before, hole, after = text.parts
        assert isinstance(hole, Hole)
        assert (before.text, after.text) == ("a ", " b")
        assert source[hole.span] == "{{ user.names[0]['x y'] | upper | json }}"
        assert source[hole.value.span] == "user.names[0]['x y']"
        assert [(one.name, source[one.span]) for one in hole.filters] == [("upper", "upper"), ("json", "json")]

    def test_a_text_with_holes_is_not_plain(self):
        assert read('"{{x}}"')[0].plain is None
        assert [type(one) for one in read('"{{x}}{{y}}"')[0].parts] == [Hole, Hole]

    @pytest.mark.parametrize(
        "text", ['"{{}}"', '"{{1}}"', '"{{a b}}"', '"{{a"', '"{{a | }}"', '"{{a + 1}}"', '"{{a.}}"']
    )
    def test_that_name_no_value_are_mistakes(self, text):
        assert codes(text) == ["E005"]

    @given(st.text(st.sampled_from('ab{}|. [0]\\"n'), max_size=30))
    def test_reading_never_fails_and_places_are_in_the_text(self, inner):
        source = SourceFile(f'LOG "{inner}"')
        for statement in parse(source).statements:
            for part in statement.value.parts if isinstance(statement.value, Text) else ():
                assert 0 <= part.span.start <= part.span.end <= len(source.text)


class TestHeredocs:
    def test_keep_their_text_and_backslashes(self):
        assert read("<<A\nx \\n\n\n  y\nA\n")[0].plain == "x \\n\n\n  y\n"

    def test_may_be_empty(self):
        assert read("<<A\nA\n")[0].plain == ""

    def test_a_dash_takes_away_the_indent_of_all_lines(self):
        assert read("<<-A\n    x\n\n      y\n    A\n")[0].plain == "x\n\n  y\n"

    def test_holes_in_them_know_where_they_are(self):
        text, source = read("<<-A\n    a\n    {{b}} c\n  A\n")
        [piece, hole, rest] = text.parts
        assert source[hole.span] == "{{b}}"
        assert (piece.text, rest.text) == ("a\n", " c\n")

    def test_a_quoted_tag_leaves_braces_alone(self):
        assert read("<<'A'\n{{ not a hole\nA\n")[0].plain == "{{ not a hole\n"

    def test_windows_ends_of_lines_stay(self):
        assert read("<<A\r\nx\r\nA\r\n")[0].plain == "x\r\n"

    def test_neighbouring_pieces_are_one(self):
        [piece] = read("<<-A\n  a\n  b\n  A\n")[0].parts
        assert isinstance(piece, Piece)
