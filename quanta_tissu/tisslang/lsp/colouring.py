"""What each token is, for editors that colour by it: more than a grammar of patterns can tell."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types as lsp

from quanta_tissu.tisslang.lsp.library import Known
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax.commands import BY_KEYWORD, CLAUSES, OPERATORS
from quanta_tissu.tisslang.syntax.expressions import Constant, Expression, Hole, Variable, children
from quanta_tissu.tisslang.syntax.tokens import Token, TokenKind

_Type = lsp.SemanticTokenTypes

TYPES = (
    _Type.Keyword,
    _Type.Operator,
    _Type.Variable,
    _Type.Property,
    _Type.Function,
    _Type.Decorator,
    _Type.String,
    _Type.Number,
    _Type.Comment,
    _Type.Macro,
)

LEGEND = lsp.SemanticTokensLegend(token_types=[one.value for one in TYPES], token_modifiers=[])

_BY_KIND = {
    TokenKind.COMMENT: _Type.Comment,
    TokenKind.HEADER: _Type.Macro,
    TokenKind.DIRECTIVE: _Type.Decorator,
    TokenKind.NUMBER: _Type.Number,
    TokenKind.DURATION: _Type.Number,
    TokenKind.STRING: _Type.String,
    TokenKind.HEREDOC: _Type.String,
    TokenKind.HEREDOC_BODY: _Type.String,
    TokenKind.HEREDOC_END: _Type.String,
}


def colours(known: Known) -> lsp.SemanticTokens:
    """All tokens, each as five numbers relative to the one before it, as the protocol has them."""
    data: list[int] = []
    line = column = 0
    for span, kind in _pieces(known):
        for piece in known.places.lines(span):
            at = known.places.position(piece.start)
            length = known.places.length(known.source[piece])
            data += [
                at.line - line,
                at.character - (column if at.line == line else 0),
                length,
                TYPES.index(kind),
                0,
            ]
            line, column = at.line, at.character
    return lsp.SemanticTokens(data=data)


def _pieces(known: Known) -> Iterator[tuple[Span, lsp.SemanticTokenTypes]]:
    titles = {one.title.span for one in known.names.titles}
    variables = {place.span for symbol in known.names.variables for place in symbol.places}
    holes = sorted(known.names.holes, key=lambda one: one.span)
    at = 0
    before: Token | None = None
    for token in known.script.tokens:
        if token.kind is TokenKind.WORD:
            yield token.span, _word(token, before, variables)
        elif token.kind in (TokenKind.STRING, TokenKind.HEREDOC_BODY):
            while at < len(holes) and holes[at].span.start < token.start:
                at += 1
            inside = []
            while at < len(holes) and holes[at].span.end <= token.end:
                inside.append(holes[at])
                at += 1
            yield from _text(token, inside, _Type.Function if token.span in titles else _Type.String)
        elif (kind := _BY_KIND.get(token.kind)) is not None:
            yield token.span, kind
        if token.kind is not TokenKind.SPACE:
            before = token


def _word(token: Token, before: Token | None, variables: set[Span]) -> lsp.SemanticTokenTypes:
    if before is not None and before.text == ".":
        return _Type.Property
    if token.text in OPERATORS:
        return _Type.Operator
    if token.span in variables:
        return _Type.Variable
    if token.text in BY_KEYWORD or token.text in CLAUSES:
        return _Type.Keyword
    return _Type.Macro if token.text in ("LAST_RUN", "COST", "true", "false", "null") else _Type.Property


def _text(
    token: Token, holes: list[Hole], kind: lsp.SemanticTokenTypes
) -> Iterator[tuple[Span, lsp.SemanticTokenTypes]]:
    """A text, and what its holes name, in order and without overlap."""
    at = token.start
    for hole in holes:
        marks = [(span, _Type.Variable) for span in _names(hole.value)]
        marks += [(one.span, _Type.Function) for one in hole.filters]
        for span, what in sorted(marks):
            if span.start > at:
                yield Span(at, span.start), kind
            yield span, what
            at = span.end
    if token.end > at:
        yield Span(at, token.end), kind


def _names(value: Expression) -> Iterator[Span]:
    if isinstance(value, Variable):
        yield value.span
    elif not isinstance(value, Constant):
        for child in children(value)[:1]:  # what comes after the name is a part of it
            yield from _names(child)
