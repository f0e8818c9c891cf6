"""From a name to where it is defined and used, and to another name for all of these: variables and tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lsprotocol import types as lsp

from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.analysis.names import Symbol
from quanta_tissu.tisslang.lsp.cursor import cursor
from quanta_tissu.tisslang.lsp.library import Known, Library
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.commands import RESERVED
from quanta_tissu.tisslang.syntax.tokens import TokenKind

_NAME = re.compile(r"[^\W\d]\w*")
_TITLE = re.compile(r'[^"\\{}\r\n]+')


@dataclass(frozen=True, slots=True)
class _Use:
    """A place of a name, in some script."""

    known: Known
    span: Span
    defines: bool


def definitions(library: Library, known: Known, position: lsp.Position) -> list[lsp.Location]:
    """Where the name at a place gets its meaning; of an IMPORT the script."""
    offset = known.places.offset(position)
    for statement, uri in library.imports(known):
        if statement.path.span.start <= offset <= statement.path.span.end:
            return _start_of(library, uri)
    return [one.known.location(one.span) for one in _uses(library, known, offset) if one.defines]


def references(library: Library, known: Known, position: lsp.Position, *, declaration: bool) -> list[lsp.Location]:
    """Everywhere that the name at a place stands."""
    uses = _uses(library, known, known.places.offset(position))
    return [one.known.location(one.span) for one in uses if declaration or not one.defines]


def highlights(library: Library, known: Known, position: lsp.Position) -> list[lsp.DocumentHighlight]:
    """The places of the name at a place in its script, told apart by what happens there."""
    return [
        lsp.DocumentHighlight(
            known.places.range(one.span),
            lsp.DocumentHighlightKind.Write if one.defines else lsp.DocumentHighlightKind.Read,
        )
        for one in _uses(library, known, known.places.offset(position))
        if one.known is known
    ]


def renamable(library: Library, known: Known, position: lsp.Position) -> lsp.Range | None:
    """The name at a place, if it can have another."""
    offset = known.places.offset(position)
    symbol = known.names.variable_at(offset)
    if symbol is not None and symbol.given:
        return None
    uses = _uses(library, known, offset)
    here = (one for one in uses if one.known is known and one.span.start <= offset <= one.span.end)
    found = next(here, None)
    return None if found is None else known.places.range(found.span)


def rename(library: Library, known: Known, position: lsp.Position, new: str) -> lsp.WorkspaceEdit | None:
    """Give a variable or a task another name, wherever it stands.

    Raises:
        ScriptError: The name is none, or it means something else already.
    """
    offset = known.places.offset(position)
    symbol = known.names.variable_at(offset)
    if symbol is not None:
        _check_variable(known, symbol, new)
    elif _title_at(known, offset) is not None:
        _check_title(library, known, offset, new)
    uses = _uses(library, known, offset)
    if not uses:
        return None
    changes: dict[str, list[lsp.TextEdit]] = {}
    for one in uses:
        changes.setdefault(one.known.uri, []).append(lsp.TextEdit(one.known.places.range(one.span), new))
    return lsp.WorkspaceEdit(changes=changes)


def _check_variable(known: Known, symbol: Symbol, new: str) -> None:
    if symbol.given:
        raise ScriptError(f"`{symbol.name}` is a name of the language")
    if not _NAME.fullmatch(new):
        raise ScriptError(f"`{new}` is no name: letters, digits and underscores, no digit first")
    if new in RESERVED:
        raise ScriptError(f"`{new}` is a word of the language")
    for other in known.names.variables:
        apart = other.scope.end <= symbol.scope.start or symbol.scope.end <= other.scope.start
        if other.name == new and other is not symbol and not apart and not _separate(known, symbol, other):
            line = known.source.position(other.places[0].span.start).line if other.places else 1
            raise ScriptError(f"`{new}` is another variable already, on line {line}")


def _separate(known: Known, one: Symbol, other: Symbol) -> bool:
    """Whether one of two variables belongs to a DEFINE_TASK and the other does not stand in it."""

    def task(symbol: Symbol) -> Span | None:
        inside = (task.span for task in known.names.tasks)
        return next((at for at in inside if at.start <= symbol.scope.start and symbol.scope.end <= at.end), None)

    return task(one) != task(other)


def _check_title(library: Library, known: Known, offset: int, new: str) -> None:
    if not _TITLE.fullmatch(new):
        raise ScriptError(f"`{new}` cannot name a task: no quotes, braces or backslashes")
    if library.task(known, new) is not None:
        raise ScriptError(f"there is a task `{new}` already")


def _uses(library: Library, known: Known, offset: int) -> list[_Use]:
    """All places of the name at an offset, in the order of their scripts."""
    symbol = known.names.variable_at(offset)
    if symbol is not None:
        return [_Use(known, one.span, one.defines) for one in symbol.places]
    title = _title_at(known, offset)
    if title is None or (found := library.task(known, title)) is None:
        return []
    home, definition = found
    uses = []
    for script in (home, *library.importers(home.uri)):
        uses += list(_uses_of_task(library, script, title, definition))
    return uses


def _uses_of_task(library: Library, script: Known, title: str, definition: ast.DefineTask) -> Iterator[_Use]:
    found = library.task(script, title)
    if found is None or found[1] is not definition:
        return  # there the name means another task
    places = [(one.title.span, True) for one in script.names.tasks if one is definition]
    places += [(one.title.span, False) for one in script.names.calls if one.title.plain == title]
    for span, defines in sorted(places):
        yield _Use(script, Span(span.start + 1, span.end - 1), defines)


def _title_at(known: Known, offset: int) -> str | None:
    at = cursor(known.script, offset)
    if at.token.kind is not TokenKind.STRING:
        return None
    for one in known.names.titles:
        if one.title.span == at.token.span:
            return one.title.plain
    return None


def _start_of(library: Library, uri: str) -> list[lsp.Location]:
    try:
        return [library.known(uri).location(Span(0, 0))]
    except ScriptError:
        return []
