"""A position in the tokens of a script, and what every part of the parser does with it."""

from __future__ import annotations

from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Edit, Label
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax.commands import BY_KEYWORD
from quanta_tissu.tisslang.syntax.lexer import lex
from quanta_tissu.tisslang.syntax.offers import Offer
from quanta_tissu.tisslang.syntax.shapes import Inside
from quanta_tissu.tisslang.syntax.tokens import END, NEWLINE, TRIVIA, UNKNOWN, WORD, Token, TokenKind

MOST_DEPTH = 100
"""Blocks or expressions in each other at most: deeper than people write, and no danger for what walks the tree."""

_BESIDE = TRIVIA | {TokenKind.HEREDOC_BODY, TokenKind.HEREDOC_END}


class Unreadable(Exception):  # noqa: N818 - it is no error of the program, and never leaves the parser
    """The statement cannot be read on; a diagnostic says why."""


class Reader:
    """The tokens that have a meaning, one after the other.

    Args:
        source: The script.

    Attributes:
        tokens: All tokens.
        token: The one that is next.
        diagnostics: What is wrong so far.
        heredocs: The numbers of the tokens that ask for one.
        offers: What could have been read on with where the script ends.
    """

    def __init__(self, source: SourceFile) -> None:
        self.source = source
        lexed = lex(source)
        self.tokens = lexed.tokens
        self.diagnostics = lexed.diagnostics
        self._numbers = [number for number, token in enumerate(self.tokens) if token.kind not in _BESIDE]
        self._meaning = [self.tokens[number] for number in self._numbers]
        self.heredocs = lexed.heredocs
        self.offers: list[Offer] = []
        self._settled = False  # whether all is said that may come at the end
        self._at = 0
        self.token = self._meaning[0]

    @property
    def number(self) -> int:
        """Its number among all tokens."""
        return self._numbers[self._at]

    @property
    def previous(self) -> Token:
        """The one before it; the first one, if there is none."""
        return self._meaning[max(self._at - 1, 0)]

    @property
    def end_number(self) -> int:
        """The number after the last token that was taken, and after the text of heredocs that it asked for."""
        if self._at == 0:
            return 0
        return self._numbers[self._at - 1] + 1

    def ahead(self, count: int = 1) -> Token:
        """One that comes later."""
        return self._meaning[min(self._at + count, len(self._meaning) - 1)]

    def take(self) -> Token:
        """Take the next one; the END stays."""
        token = self.token
        if token.kind is not END:
            self._at += 1
            self.token = self._meaning[self._at]
        return token

    def is_a(self, kind: TokenKind) -> bool:
        """Whether the next one is of a kind."""
        return self.token.kind is kind

    def at_line_end(self) -> bool:
        """Whether nothing follows on this line."""
        return self.token.kind in (NEWLINE, END)

    def is_word(self, text: str) -> bool:
        """Whether the next one is a certain word."""
        return self.token.kind is WORD and self.token.text == text

    def starts_command(self) -> bool:
        """Whether the next one is the first word of a command."""
        return self.token.kind is WORD and self.token.text in BY_KEYWORD

    def is_sign(self, text: str) -> bool:
        """Whether the next one is a certain symbol; nothing but a symbol has its text."""
        return self.token.text == text

    def skip_rest_of_line(self) -> None:
        """Go to the end of the line."""
        while not self.at_line_end():
            self.take()

    def offer(self, what: Offer, ahead: int = 0) -> None:
        """Note what may come here or some tokens ahead, if the script ends there and nothing must come before."""
        if self.ahead(ahead).kind is END and not self._settled:
            self.offers.append(what)

    def offer_statement(self, inside: Inside) -> None:
        """Note that a statement may start here, if the script ends here, and in a line or block that is new."""
        if self.previous.kind is NEWLINE or self.previous.text == "{" or not self._at:
            self.offer(inside)
        self._settled = True

    def skip_lines(self) -> None:
        """Go over ends of lines."""
        while self.token.kind is NEWLINE:
            self._at += 1
            self.token = self._meaning[self._at]

    def beyond_lines(self) -> int:
        """How many tokens ahead the first one is that does not end a line."""
        count = 0
        while self.ahead(count).kind is NEWLINE:
            count += 1
        return count

    def first_on_line(self, token: Token) -> bool:
        """Whether only blanks are before a token on its line."""
        line = self.source.position(token.start).line
        return not self.source.text[self.source.line_span(line).start : token.start].strip()

    def indent(self, offset: int) -> int:
        """How deep the line of an offset is indented, in columns."""
        line = self.source.line_text(self.source.position(offset).line).expandtabs(8)
        return len(line) - len(line.lstrip())

    def say(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        label: str = "",
        others: tuple[Label, ...] = (),
        help: str | None = None,
        edits: tuple[Edit, ...] = (),
        **data: object,
    ) -> None:
        """Note what is wrong."""
        self.diagnostics.append(
            Diagnostic(code, message, Label(span, label), others=others, help=help, edits=edits, data=data)
        )

    def here(self) -> Span:
        """Where something is missing: at the next token, or behind the last one of the line."""
        if self.at_line_end() and self._at:
            end = self.previous.end
            return Span(end, end)
        return self.token.span

    def expected(
        self, what: str, *, others: tuple[Label, ...] = (), help: str | None = None, edits: tuple[Edit, ...] = ()
    ) -> Unreadable:
        """Note that something else should stand here."""
        if self.token.kind is UNKNOWN:
            return Unreadable()  # the lexer has said so
        if self.token.kind is END:
            self._settled = True
        found = "the line ends" if self.at_line_end() else f"found `{self.token.text.strip()}`"
        self.say("E008", f"expected {what}, but {found}", self.here(), others=others, help=help, edits=edits)
        return Unreadable()
