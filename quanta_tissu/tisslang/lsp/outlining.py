"""The outline of a script, and what of it can be folded."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types as lsp

from quanta_tissu.tisslang.lsp.library import Known
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.tokens import TokenKind
from quanta_tissu.tisslang.syntax.tree import Node, NodeKind

_KINDS: dict[type[ast.Statement], lsp.SymbolKind] = {
    ast.Task: lsp.SymbolKind.Module,
    ast.Setup: lsp.SymbolKind.Constructor,
    ast.Step: lsp.SymbolKind.Method,
    ast.DefineTask: lsp.SymbolKind.Function,
    ast.Parallel: lsp.SymbolKind.Namespace,
    ast.Choose: lsp.SymbolKind.Enum,
    ast.Option: lsp.SymbolKind.EnumMember,
}


def symbols(known: Known) -> list[lsp.DocumentSymbol]:
    """The blocks that have a name or hold such, in each other."""
    return list(_symbols(known, known.script.tree))


def _symbols(known: Known, node: Node) -> Iterator[lsp.DocumentSymbol]:
    for child in node.children:
        statement = child.statement
        inner = list(_symbols(known, child))
        if statement is None or type(statement) not in _KINDS:
            yield from inner
            continue
        tokens = known.script.tokens
        span = Span(tokens[child.first].start, max(tokens[child.end - 1].end, statement.span.end))
        keyword = known.source[statement.keyword]
        title = getattr(statement, "title", None) or getattr(statement, "question", None)
        yield lsp.DocumentSymbol(
            name=keyword if title is None else _inner(known.source[title.span]) or keyword,
            detail=None if title is None else keyword,
            kind=_KINDS[type(statement)],
            range=known.places.range(span),
            selection_range=known.places.range(statement.keyword if title is None else title.span),
            children=inner,
        )


def _inner(text: str) -> str:
    """A text without its quotes."""
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def folds(known: Known) -> list[lsp.FoldingRange]:
    """Blocks, heredocs, and comments of several lines."""
    script, places = known.script, known.places
    found: list[lsp.FoldingRange] = []
    for node in script.tree.walk():
        if node.kind is NodeKind.BLOCK and node.end > node.first:
            start = places.position(script.tokens[node.first].start).line
            last = places.position(script.tokens[node.end - 1].start).line
            _fold(found, start, last - 1)
    comments: list[int] = []
    for token in script.tokens:
        if token.kind is TokenKind.HEREDOC_BODY:
            start = places.position(max(token.start - 1, 0)).line
            _fold(found, start, places.position(token.end).line)
        elif token.kind is TokenKind.COMMENT:
            line = places.position(token.start).line
            if comments and line > comments[-1] + 1:
                _fold(found, comments[0], comments[-1], lsp.FoldingRangeKind.Comment)
                comments.clear()
            comments.append(line)
    if comments:
        _fold(found, comments[0], comments[-1], lsp.FoldingRangeKind.Comment)
    return found


def _fold(found: list[lsp.FoldingRange], start: int, end: int, kind: lsp.FoldingRangeKind | None = None) -> None:
    if end > start:
        found.append(lsp.FoldingRange(start, end, kind=kind))
