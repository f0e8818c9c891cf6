"""Tokens: every character of a script is in exactly one."""

from __future__ import annotations

from enum import Enum
from typing import Final

from quanta_tissu.tisslang.source import Span


class TokenKind(Enum):
    """What a token is."""

    __hash__ = object.__hash__  # Enum's own is written in Python, and kinds are looked up for every token

    BYTE_ORDER_MARK = "byte order mark"
    SPACE = "space"
    COMMENT = "comment"
    NEWLINE = "end of line"
    HEADER = "header"
    WORD = "word"
    DIRECTIVE = "directive"
    NUMBER = "number"
    DURATION = "duration"
    STRING = "string"
    HEREDOC = "heredoc"
    """`<<TAG`, `<<-TAG`, `<<'TAG'`: where a heredoc is asked for."""
    HEREDOC_BODY = "heredoc's text"
    """Its lines: they stand after the line that asked for it, whatever else that line holds."""
    HEREDOC_END = "heredoc's end"
    SYMBOL = "symbol"
    UNKNOWN = "unknown character"
    END = "end of file"


# Python 3.11 looks a member of an enumeration up several times slower than a name of a module, and the lexer and
# the parser ask for these at every token.
DIRECTIVE: Final = TokenKind.DIRECTIVE
DURATION: Final = TokenKind.DURATION
END: Final = TokenKind.END
HEREDOC: Final = TokenKind.HEREDOC
NEWLINE: Final = TokenKind.NEWLINE
NUMBER: Final = TokenKind.NUMBER
STRING: Final = TokenKind.STRING
SYMBOL: Final = TokenKind.SYMBOL
UNKNOWN: Final = TokenKind.UNKNOWN
WORD: Final = TokenKind.WORD

TRIVIA: Final = frozenset({TokenKind.BYTE_ORDER_MARK, TokenKind.SPACE, TokenKind.COMMENT})
"""What has no meaning; the end of a line has one."""


class Token:
    """Some characters of a script.

    Attributes:
        kind: What they are.
        text: The characters.
        start: Their offset.
        body: Of a HEREDOC: the number of the token that holds its text, in the list of all.
    """

    __slots__ = ("body", "kind", "start", "text")

    def __init__(self, kind: TokenKind, text: str, start: int, body: int | None = None) -> None:
        self.kind = kind
        self.text = text
        self.start = start
        self.body = body

    @property
    def end(self) -> int:
        """The offset after them."""
        return self.start + len(self.text)

    @property
    def span(self) -> Span:
        """Where they are."""
        return Span(self.start, self.start + len(self.text))

    def __repr__(self) -> str:
        return f"Token({self.kind.name}, {self.text!r}, {self.start})"
