"""What may be written at a place: the parser says what it could read on with, the tables say the words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lsprotocol import types as lsp

from quanta_tissu.tisslang.lsp import words
from quanta_tissu.tisslang.lsp.cursor import TEXTS, cursor
from quanta_tissu.tisslang.lsp.hovering import described, signature
from quanta_tissu.tisslang.lsp.library import Known, Library
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.commands import COMMANDS, CONSTANTS
from quanta_tissu.tisslang.syntax.expressions import Expression, Object, Variable
from quanta_tissu.tisslang.syntax.offers import Offer, Want, Wanted
from quanta_tissu.tisslang.syntax.parser import offers
from quanta_tissu.tisslang.syntax.shapes import Inside, NameOf, Word
from quanta_tissu.tisslang.syntax.templates import template
from quanta_tissu.tisslang.syntax.tokens import TokenKind
from quanta_tissu.tisslang.syntax.words import BUDGETS, DIRECTIVES, FILTERS, LAST_RUN

_Kind = lsp.CompletionItemKind

_OPERATORS = ("AND", "OR", "NOT", "CONTAINS", "MATCHES", "IS_EMPTY", "EXISTS")
_FIRST_WORDS = ("NOT", "FILE", "LAST_RUN", "COST", *CONSTANTS)
_PATH = re.compile(r"([^\W\d]\w*)\.\s*\Z")
_CALLED = re.compile(r"\bCALL\s+\Z")


def complete(library: Library, known: Known, position: lsp.Position) -> list[lsp.CompletionItem]:
    """What may come at a place."""
    offset = known.places.offset(position)
    at = cursor(known.script, offset)
    text = known.source.text
    start = at.word.start
    token = at.token
    if token.kind is TokenKind.COMMENT and token.start < offset:
        return []
    inside = token.start < offset and token.kind in TEXTS
    if inside and (token.kind is TokenKind.HEREDOC_BODY or offset < token.end or len(token.text) == 1):
        if at.hole is not None:
            return list(_in_hole(known, text[at.hole : start], offset, start))
        if token.kind is TokenKind.STRING and _CALLED.search(text, 0, token.start):
            return list(_tasks(library, known, Span(token.start + 1, offset)))
        return []
    maker = _Maker(library, known, Span(start, offset))
    if start and text[start - 1] == "@":
        return list(maker.directives(Span(start - 1, offset), offers(text[: start - 1])))
    seen: set[str] = set()
    found = []
    for offer in offers(text[:start]):
        for item in maker.items(offer):
            if item.label not in seen:
                seen.add(item.label)
                found.append(item)
    return found


class _Maker:
    """Makes what is proposed for an offer of the parser.

    Args:
        library: All scripts.
        known: The one in which the cursor is.
        replaced: The characters that a proposal replaces.
    """

    def __init__(self, library: Library, known: Known, replaced: Span) -> None:
        self._library = library
        self._known = known
        self._replaced = replaced

    def items(self, offer: Offer) -> Iterator[lsp.CompletionItem]:
        """The proposals of an offer."""
        match offer:
            case Inside():
                yield from self._statements(offer)
            case Word(text=text):
                yield self._item(text, _Kind.Keyword)
            case NameOf(among=among) if among:
                yield from (self._item(one, _Kind.Constant, detail=BUDGETS.get(one)) for one in among)
            case NameOf(defines=defines):
                if not defines:
                    yield from self._variables()
            case Wanted(what=Want.VALUE):
                yield from self._variables()
                yield from (
                    self._item(one, _Kind.Keyword, documentation=words.keyword(one)) for one in _FIRST_WORDS
                )
            case Wanted(what=Want.OPERATOR):
                yield from (
                    self._item(one, _Kind.Operator, documentation=words.keyword(one)) for one in _OPERATORS
                )
            case Wanted(what=Want.FIELD, of=of):
                yield from self._fields(of)
            case Wanted(what=Want.SETTING, of=str(name)):
                values = DIRECTIVES[name].values if name in DIRECTIVES else None
                yield from (self._item(one, _Kind.EnumMember) for one in values or ())
            case Wanted(what=Want.TITLE, of="CALL"):
                yield from (_quoted(item) for item in _tasks(self._library, self._known, self._replaced))
            case _:
                pass

    def directives(self, replaced: Span, offered: list[Offer]) -> Iterator[lsp.CompletionItem]:
        """Directives, where a statement may start."""
        if not any(isinstance(one, Inside) for one in offered):
            return
        for one in DIRECTIVES.values():
            yield _item(
                self._known,
                f"@{one.name}",
                _Kind.Property,
                replaced,
                detail=one.summary,
                documentation=words.directive(one.name),
            )

    def _statements(self, inside: Inside) -> Iterator[lsp.CompletionItem]:
        for command in COMMANDS:
            if inside in command.where:
                yield self._item(
                    command.keyword,
                    _Kind.Keyword,
                    detail=command.summary,
                    documentation=words.command(command),
                    snippet=template(command) if self._library.snippets else None,
                )
        if inside is not Inside.CHOOSE and inside is not Inside.PARALLEL:
            yield from self.directives(self._replaced, [inside])

    def _variables(self) -> Iterator[lsp.CompletionItem]:
        for name, symbol in self._known.names.visible_at(self._replaced.start).items():
            yield self._item(name, _Kind.Variable, documentation=described(self._known, symbol))

    def _fields(self, of: Expression | str | None) -> Iterator[lsp.CompletionItem]:
        if isinstance(of, Variable):
            yield from (
                self._item(name, _Kind.Field, detail=meaning) for name, meaning in fields(self._known, of.name)
            )

    def _item(self, label: str, kind: lsp.CompletionItemKind, **more: str | None) -> lsp.CompletionItem:
        return _item(self._known, label, kind, self._replaced, **more)


def _in_hole(known: Known, before: str, offset: int, start: int) -> Iterator[lsp.CompletionItem]:
    """Variables, what is in them, and filters: what a hole may hold."""
    replaced = Span(start, offset)
    if before.rstrip().endswith("|"):
        for name, meaning in FILTERS.items():
            yield _item(known, name, _Kind.Function, replaced, detail=meaning)
    elif path := _PATH.search(before):
        for name, meaning in fields(known, path.group(1)):
            yield _item(known, name, _Kind.Field, replaced, detail=meaning)
    elif not before.strip():
        for name, symbol in known.names.visible_at(offset).items():
            yield _item(known, name, _Kind.Variable, replaced, documentation=described(known, symbol))
        for name in ("LAST_RUN", "COST"):
            yield _item(known, name, _Kind.Keyword, replaced, documentation=words.keyword(name))


def fields(known: Known, variable: str) -> list[tuple[str, str]]:
    """What is known to be in a variable: the parts of LAST_RUN, the keys of objects that it is set to."""
    if variable == "LAST_RUN":
        return list(LAST_RUN.items())
    found: dict[str, str] = {}
    for symbol in known.names.variables:
        for place in symbol.definitions if symbol.name == variable else ():
            statement = place.statement
            if isinstance(statement, ast.Var) and isinstance(statement.value, Object):
                found |= {entry.key: f"a field of {variable}" for entry in statement.value.entries}
            elif isinstance(statement, ast.Try):
                found["message"] = "what failed, in words"
    return list(found.items())


def _tasks(library: Library, known: Known, replaced: Span) -> Iterator[lsp.CompletionItem]:
    for title, task in library.tasks(known).items():
        yield _item(known, title, _Kind.Function, replaced, detail=signature(task))


def _quoted(item: lsp.CompletionItem) -> lsp.CompletionItem:
    """A name that is still to be put into quotes."""
    if isinstance(item.text_edit, lsp.TextEdit):
        item.text_edit.new_text = f'"{item.text_edit.new_text}"'
    return item


def _item(
    known: Known,
    label: str,
    kind: lsp.CompletionItemKind,
    replaced: Span,
    *,
    detail: str | None = None,
    documentation: str | None = None,
    snippet: str | None = None,
) -> lsp.CompletionItem:
    return lsp.CompletionItem(
        label=label,
        kind=kind,
        detail=detail,
        documentation=None if documentation is None else lsp.MarkupContent(lsp.MarkupKind.Markdown, documentation),
        text_edit=lsp.TextEdit(known.places.range(replaced), label if snippet is None else snippet),
        insert_text_format=None if snippet is None else lsp.InsertTextFormat.Snippet,
    )
