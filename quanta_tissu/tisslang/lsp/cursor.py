"""What a cursor stands on: a token, a word in it, and the hole of a text around it."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.tokens import Token, TokenKind
from quanta_tissu.tisslang.syntax.tree import Script

_BEFORE, _AFTER = re.compile(r"\w*\Z"), re.compile(r"\w*")

_WORDS = frozenset({TokenKind.WORD, TokenKind.DIRECTIVE})
_GO_ON = _WORDS | {TokenKind.COMMENT}
"""What is typed at their end belongs to them."""

TEXTS = frozenset({TokenKind.STRING, TokenKind.HEREDOC_BODY})


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place of a script.

    Attributes:
        offset: It.
        token: The token that it is in, or at the end of.
        word: The letters, digits and underscores around it.
        hole: In a text: where the hole around it begins, behind the braces; None outside of holes.
    """

    offset: int
    token: Token
    word: Span
    hole: int | None


def cursor(script: Script, offset: int) -> Cursor:
    """Look at an offset of a script."""
    token = script.tokens[_number(script, offset)]
    text = script.source.text
    line = max(text.rfind("\n", 0, offset) + 1, 0)
    before, after = _BEFORE.search(text, line, offset), _AFTER.match(text, offset)
    word = Span(before.start() if before else offset, after.end() if after else offset)
    hole = None
    if token.kind in TEXTS and offset > token.start:
        start = text.rfind("{{", token.start, offset)
        if start >= 0 and "}}" not in text[start:offset] and "\n" not in text[start:offset]:
            hole = start + 2
    return Cursor(offset, token, word, hole)


def _number(script: Script, offset: int) -> int:
    """The token that an offset is in; between two of them that with a meaning, rather the first."""
    tokens = script.tokens
    number = max(bisect_right(tokens, offset, key=lambda one: one.start) - 1, 0)
    while number > 0 and not tokens[number].text and tokens[number].kind is not TokenKind.END:
        number -= 1
    here, before = tokens[number], tokens[max(number - 1, 0)]
    if here.start == offset and ((before.kind in _GO_ON and here.kind not in _WORDS) or _is_open(before)):
        return max(number - 1, 0)
    return number


def _is_open(token: Token) -> bool:
    """Whether a text is never closed, so that what is typed behind it belongs to it."""
    return token.kind is TokenKind.STRING and (len(token.text) == 1 or token.text[-1] != token.text[0])


def statement_at(script: Script, offset: int) -> ast.Statement | None:
    """The innermost statement around an offset."""
    found = None
    for node in script.tree.walk():
        one = node.statement
        if one is not None and one.span.start <= offset <= one.span.end:
            found = one
    return found
