"""Colours for Pygments: the tokens of the language's own lexer, by the names that Pygments has for them.

It is found by its name wherever Pygments is used: `pygmentize -l tiss plan.tiss`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pygments.lexer import Lexer
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, String, Text, Whitespace
from pygments.token import _TokenType as PygmentsToken

from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.commands import BY_KEYWORD, CLAUSES, CONSTANTS, OPERATORS
from quanta_tissu.tisslang.syntax.lexer import lex
from quanta_tissu.tisslang.syntax.texts import marks
from quanta_tissu.tisslang.syntax.tokens import Token, TokenKind
from quanta_tissu.tisslang.syntax.words import BUDGETS, LAST_RUN, PROVIDED

_KINDS = {
    TokenKind.BYTE_ORDER_MARK: Text,
    TokenKind.SPACE: Whitespace,
    TokenKind.NEWLINE: Whitespace,
    TokenKind.COMMENT: Comment.Single,
    TokenKind.HEADER: Comment.Preproc,
    TokenKind.DIRECTIVE: Name.Decorator,
    TokenKind.NUMBER: Number,
    TokenKind.DURATION: Number,
    TokenKind.HEREDOC: String.Delimiter,
    TokenKind.HEREDOC_BODY: String.Heredoc,
    TokenKind.HEREDOC_END: String.Delimiter,
    TokenKind.UNKNOWN: Error,
}
_SIGNS = frozenset("+-<>=") | {"==", "!=", "<=", ">="}


class TissLexer(Lexer):
    """Scripts of TissLang."""

    name = "TissLang"
    aliases: ClassVar[list[str]] = ["tiss", "tisslang"]
    filenames: ClassVar[list[str]] = ["*.tiss"]
    mimetypes: ClassVar[list[str]] = ["text/x-tiss"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, PygmentsToken, str]]:
        """All characters of a script, each in one token."""
        tokens = lex(SourceFile(text)).tokens
        plain = {one.body for one in tokens if one.body is not None and one.text.endswith("'")}
        before: Token | None = None
        for number, token in enumerate(tokens):
            if token.kind is TokenKind.STRING:
                yield from _text(token, String, escapes=True)
            elif token.kind is TokenKind.HEREDOC_BODY and number not in plain:
                yield from _text(token, String.Heredoc, escapes=False)
            elif token.kind is TokenKind.WORD:
                yield token.start, _word(token.text, before), token.text
            elif token.kind is TokenKind.SYMBOL:
                yield token.start, Operator if token.text in _SIGNS else Punctuation, token.text
            elif token.kind is not TokenKind.END:
                yield token.start, _KINDS[token.kind], token.text
            if token.kind is not TokenKind.SPACE:
                before = token


def _word(text: str, before: Token | None) -> PygmentsToken:
    """What a word is, by what is before it; blanks do not count."""
    if before is not None and before.text == ".":
        return Name.Constant if text in LAST_RUN else Name.Attribute
    if before is not None and before.text == "SET_BUDGET" and text in BUDGETS:
        return Name.Constant
    if text in OPERATORS:
        return Operator.Word
    if text in BY_KEYWORD or text in CLAUSES:
        return Keyword
    if text in CONSTANTS:
        return Keyword.Constant
    return Name.Builtin if text in PROVIDED else Name.Variable


def _text(token: Token, kind: PygmentsToken, *, escapes: bool) -> Iterator[tuple[int, PygmentsToken, str]]:
    """A text, its escapes and its holes."""
    at = 0
    for what, start, end in marks(token.text, escapes=escapes):
        if start > at:
            yield token.start + at, kind, token.text[at:start]
        yield token.start + start, String.Interpol if what == "hole" else String.Escape, token.text[start:end]
        at = end
    if at < len(token.text):
        yield token.start + at, kind, token.text[at:]
