from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.lexer import lex
from quanta_tissu.tisslang.syntax.tokens import TRIVIA, TokenKind
from tests.tisslang.syntax.scripts import GOOD

K = TokenKind


def tokens(text: str) -> list[tuple[TokenKind, str]]:
    """What a text is cut into, without blanks and the end."""
    return [(one.kind, one.text) for one in lex(SourceFile(text)).tokens if one.kind not in (K.SPACE, K.END)]


def codes(text: str) -> list[str]:
    return [one.code for one in lex(SourceFile(text)).diagnostics]


WORDS = ["STEP", "A", "A>>", "@x", "é", "漢", "1", "2.5", "30s", "<<A", "<<-A", "<<'A'", "#", "#TISS!", "{{", "}}"]
SIGNS = list(" \t\n\r\"'\\{}<=$-\0\ufeff")
FRAGMENTS = st.lists(st.sampled_from(WORDS + SIGNS), max_size=40).map("".join)


class TestLex:
    @given(FRAGMENTS | st.text(max_size=60))
    def test_every_character_is_in_exactly_one_token(self, text):
        lexed = lex(SourceFile(text))
        assert "".join(one.text for one in lexed.tokens) == text
        at = 0
        for token in lexed.tokens:
            assert token.start == at
            at = token.end
        assert lexed.tokens[-1].kind is K.END
        assert all(one.text for one in lexed.tokens[:-1] if one.kind is not K.HEREDOC_BODY)

    def test_a_good_script_has_no_mistake(self):
        assert codes(GOOD) == []

    def test_words_numbers_times_and_signs(self):
        assert tokens("RUN x_1 12 2.5 90s 1.5h >= [") == [
            (K.WORD, "RUN"),
            (K.WORD, "x_1"),
            (K.NUMBER, "12"),
            (K.NUMBER, "2.5"),
            (K.DURATION, "90s"),
            (K.DURATION, "1.5h"),
            (K.SYMBOL, ">="),
            (K.SYMBOL, "["),
        ]

    def test_a_comment_ends_with_its_line(self):
        assert tokens('LOG "x" # why\r\nLOG') == [
            (K.WORD, "LOG"),
            (K.STRING, '"x"'),
            (K.COMMENT, "# why"),
            (K.NEWLINE, "\r\n"),
            (K.WORD, "LOG"),
        ]

    def test_a_string_keeps_escaped_quotes_and_signs_of_comments(self):
        assert tokens(r'"a \" # b"') == [(K.STRING, r'"a \" # b"')]
        assert tokens("'it \\' s'") == [(K.STRING, "'it \\' s'")]

    def test_the_mark_of_byte_order_and_the_header_are_tokens(self):
        assert tokens("\ufeff#TISS! version=1.0")[:2] == [(K.BYTE_ORDER_MARK, "\ufeff"), (K.HEADER, "#TISS!")]
        assert tokens("#TISSUE")[0] == (K.COMMENT, "#TISSUE")

    def test_what_has_no_meaning_is_said_once_for_neighbours(self):
        assert codes("LOG ???") == ["E001"]

    @pytest.mark.parametrize("text", ['"open', "'open", '"open\n"closed"', '"ends in \\'])
    def test_an_open_string_ends_with_its_line(self, text):
        assert codes(text) == ["E002"]


class TestHeredoc:
    def test_keeps_its_text_byte_for_byte(self):
        body = 'x = 1\n\n\n  y = "}"  \n\t# no comment\r\n'
        found = tokens(f'WRITE "f" <<PY # why\n{body}PY\nLOG')
        assert (K.HEREDOC_BODY, body) in found
        assert (K.COMMENT, "# why") in found
        assert found[-2:] == [(K.HEREDOC_END, "PY\n"), (K.WORD, "LOG")]

    def test_ends_only_at_a_line_that_is_exactly_its_tag(self):
        found = tokens("<<PY\n PY\nPY x\nPYTHON\nPY")
        assert (K.HEREDOC_BODY, " PY\nPY x\nPYTHON\n") in found

    def test_may_be_ended_by_the_older_sign(self):
        assert (K.HEREDOC_END, "PY>>\n") in tokens("<<PY\nx\nPY>>\n")

    def test_a_dash_lets_the_end_be_indented(self):
        assert (K.HEREDOC_END, "  PY\n") in tokens("<<-PY\n    x\n  PY\n")

    def test_a_script_in_a_script_is_text(self):
        inner = 'WRITE "g" <<B\n{{x}}\nB\n'
        assert (K.HEREDOC_BODY, inner) in tokens(f"WRITE \"f\" <<'A'\n{inner}A\n")

    def test_two_on_a_line_follow_each_other(self):
        found = [one for one in tokens("F <<A <<B\na\nA\nb\nB\n") if one[0] is K.HEREDOC_BODY]
        assert found == [(K.HEREDOC_BODY, "a\n"), (K.HEREDOC_BODY, "b\n")]

    def test_knows_where_its_text_is(self):
        lexed = lex(SourceFile("WRITE x <<A\nhello\nA\n"))
        [opening] = [one for one in lexed.tokens if one.kind is K.HEREDOC]
        assert lexed.tokens[opening.body].text == "hello\n"

    def test_without_end_gives_way_to_the_next_block(self):
        found = tokens('STEP "a" {\n  WRITE "f" <<PY\nx\n}\nSTEP "b" {\n}\n')
        assert (K.HEREDOC_BODY, "x\n") in found
        assert (K.WORD, "STEP") in found[8:]

    def test_an_end_with_blanks_is_shown(self):
        [mistake] = lex(SourceFile("WRITE x <<A\nhello\n  A \n")).diagnostics
        assert "spaces" in mistake.others[0].text
        assert mistake.edits[0].text == "A"


def test_trivia_is_what_has_no_meaning():
    assert K.NEWLINE not in TRIVIA
