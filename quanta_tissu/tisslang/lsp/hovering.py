"""What is said of the word under the pointer."""

from __future__ import annotations

from lsprotocol import types as lsp

from quanta_tissu.tisslang.analysis.names import Symbol
from quanta_tissu.tisslang.lsp import words
from quanta_tissu.tisslang.lsp.cursor import TEXTS, Cursor, cursor, statement_at
from quanta_tissu.tisslang.lsp.library import Known, Library
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.commands import BY_KEYWORD, CLAUSES, COMMANDS
from quanta_tissu.tisslang.syntax.tokens import TokenKind

_BY_STATEMENT = {command.make: command for command in COMMANDS}


def hover(library: Library, known: Known, position: lsp.Position) -> lsp.Hover | None:
    """What is to be said of a place, if anything is."""
    at = cursor(known.script, known.places.offset(position))
    found = _task(library, known, at) or _variable(known, at) or _word(known, at)
    if found is None:
        return None
    text, span = found
    return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, text), known.places.range(span))


def _task(library: Library, known: Known, at: Cursor) -> tuple[str, Span] | None:
    for one in known.names.titles:
        if at.token.kind is not TokenKind.STRING or one.title.span != at.token.span:
            continue
        title = one.title.plain
        if title is None or (task := library.task(known, title)) is None:
            return None
        where, definition = task
        line = where.source.position(definition.span.start).line
        place = f"line {line}" if where is known else f"line {line} of `{where.source.name}`"
        return f"```tiss\n{signature(definition)}\n```\nDefined on {place}.", one.title.span
    return None


def signature(task: ast.DefineTask) -> str:
    """A task as its definition begins."""
    parameters = ", ".join(one.text for one in task.parameters)
    return f'DEFINE_TASK "{task.title.plain}"' + (f"({parameters})" if parameters else "")


def _variable(known: Known, at: Cursor) -> tuple[str, Span] | None:
    symbol = known.names.variable_at(at.offset)
    if symbol is None or symbol.given:
        return None
    span = next(one.span for one in symbol.places if one.span.start <= at.offset <= one.span.end)
    return described(known, symbol), span


def described(known: Known, symbol: Symbol) -> str:
    """A variable: where it gets its values."""
    if not symbol.definitions:
        return f"`{symbol.name}`: nothing sets it."
    lines = [f"`{symbol.name}` gets its value here:\n"]
    for place in symbol.definitions:
        line = known.source.position(place.span.start).line
        text = known.source.line_text(line).strip()
        lines.append(f"- line {line}: `` {text} ``")
    return "\n".join(lines)


def _word(known: Known, at: Cursor) -> tuple[str, Span] | None:
    source, word = known.source, known.source[at.word]
    before = source.text[max(at.word.start - 200, 0) : at.word.start].rstrip()
    if at.token.kind is TokenKind.DIRECTIVE:
        return _with(words.directive(at.token.text[1:]), at.token.span)
    if before.endswith("LAST_RUN."):
        return _with(words.last_run(word), at.word)
    if at.token.kind in TEXTS:
        if at.hole is None:
            return None
        return _with(words.filter_(word) if before.endswith("|") else words.keyword(word), at.word)
    if at.token.kind is not TokenKind.WORD or before.endswith("."):
        return None
    if before.endswith("SET_BUDGET"):
        return _with(words.budget(word), at.word)
    if word in CLAUSES and word not in BY_KEYWORD and (statement := statement_at(known.script, at.offset)):
        command = _BY_STATEMENT.get(type(statement))
        return _with(None if command is None else words.command(command), at.word)
    return _with(words.keyword(word), at.word)


def _with(text: str | None, span: Span) -> tuple[str, Span] | None:
    return None if text is None else (text, span)
