"""What strings and heredocs say: escapes are resolved, holes are found and read, once and for all.

A hole is `{{value}}` or `{{value | filter | filter}}`, where the value is a variable or something in it: `a.b[0]`.
`{{{{` stands for two braces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Edit, Label
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax.expressions import (
    Constant,
    Expression,
    Filter,
    Hole,
    Item,
    Member,
    Piece,
    Text,
    Variable,
)
from quanta_tissu.tisslang.syntax.lexer import heredoc_parts
from quanta_tissu.tisslang.syntax.tokens import Token

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"', "'": "'", "{": "{", "}": "}"}

_MARK = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|(.)|$)|\{\{\{\{|\{\{", re.DOTALL)
_HEREDOC_MARK = re.compile(r"\{\{\{\{|\{\{")

_NAME = r"[^\W\d]\w*"
_STEP = rf"\.\s*({_NAME})|\[\s*(\d+)\s*\]|\[\s*\"([^\"\\\r\n]*)\"\s*\]|\[\s*'([^'\\\r\n]*)'\s*\]"
_HOLE = re.compile(rf"\{{\{{\s*({_NAME})((?:{_STEP})*)\s*((?:\|\s*{_NAME}\s*)*)\}}\}}")
_STEPS = re.compile(_STEP)
_FILTER = re.compile(_NAME)


def read_string(token: Token, diagnostics: list[Diagnostic]) -> Text:
    """A string: quotes go, escapes are resolved, holes are read."""
    text = token.text
    inner = text[1:-1] if len(text) > 1 and text[-1] == text[0] else text[1:]
    start = token.start + 1
    if "\\" not in inner and "{{" not in inner:
        parts: tuple[Piece | Hole, ...] = (Piece(inner, Span(start, start + len(inner))),) if inner else ()
        return Text(parts, token.span)
    return Text(tuple(_parts(inner, start, _MARK, diagnostics)), token.span)


def read_heredoc(opening: Token, body: Token, diagnostics: list[Diagnostic]) -> Text:
    """A heredoc: its text byte for byte, or without the indent that all its lines have; holes are read."""
    indented, quoted, tag = heredoc_parts(opening.text)
    parts: list[Piece | Hole] = []
    for line, at in _lines(body, _common_indent(body.text) if indented else 0):
        if quoted or "{{" not in line:
            parts.append(Piece(line, Span(at, at + len(line))))
        else:
            parts += _parts(line, at, _HEREDOC_MARK, diagnostics)
    return Text(tuple(_joined(parts)), opening.span, tag)


def _lines(body: Token, strip: int) -> Iterator[tuple[str, int]]:
    """Lines with what ends them, without as many characters at their start, and their offsets."""
    if strip == 0:
        if body.text:
            yield body.text, body.start
        return
    at = body.start
    for line in body.text.splitlines(keepends=True):
        taken = min(strip, len(line) - len(line.lstrip(" \t")))
        yield line[taken:], at + taken
        at += len(line)


def _common_indent(text: str) -> int:
    lines = [line for line in text.splitlines() if line.strip()]
    return min((len(line) - len(line.lstrip(" \t")) for line in lines), default=0)


def _joined(parts: list[Piece | Hole]) -> Iterator[Piece | Hole]:
    """Pieces that touch each other are one."""
    before: Piece | None = None
    for part in parts:
        if isinstance(part, Piece):
            before = part if before is None else Piece(before.text + part.text, before.span.to(part.span))
            continue
        if before is not None:
            yield before
            before = None
        yield part
    if before is not None:
        yield before


def _parts(text: str, start: int, mark: re.Pattern[str], diagnostics: list[Diagnostic]) -> Iterator[Piece | Hole]:
    """Characters and holes of a text that stands at an offset."""
    said: list[str] = []
    begin = at = 0
    while (found := mark.search(text, at)) is not None:
        said.append(text[at : found.start()])
        at = found.end()
        if found.group() == "{{":
            hole = _HOLE.match(text, found.start())
            if hole is None:
                said.append("{{")
                diagnostics.append(_bad_hole(text, start, found.start()))
                continue
            if before := "".join(said):
                yield Piece(before, Span(start + begin, start + found.start()))
            yield _hole(hole, start)
            said, begin, at = [], hole.end(), hole.end()
        elif found.group() == "{{{{":
            said.append("{{")
        else:
            said.append(_escape(found, start, diagnostics))
    said.append(text[at:])
    if rest := "".join(said):
        yield Piece(rest, Span(start + begin, start + len(text)))


def _hole(found: re.Match[str], start: int) -> Hole:
    span = Span(start + found.start(), start + found.end())
    name_at = Span(start + found.start(1), start + found.end(1))
    value: Expression = Variable(found.group(1), name_at)
    for step in _STEPS.finditer(found.group(2)):
        reached = Span(name_at.start, start + found.start(2) + step.end())
        field, number, key, other_key = step.groups()
        if field is not None:
            value = Member(value, field, reached)
        elif number is not None:
            value = Item(value, Constant(int(number), reached), reached)
        else:
            text = key if key is not None else other_key
            value = Item(value, Text((Piece(text, reached),), reached), reached)
    after = found.end() - 2 - len(found.groups()[-1])
    filters = tuple(
        Filter(one.group(), Span(start + after + one.start(), start + after + one.end()))
        for one in _FILTER.finditer(found.groups()[-1])
    )
    return Hole(value, filters, span)


def _bad_hole(text: str, start: int, at: int) -> Diagnostic:
    close = text.find("}}", at)
    line_end = text.find("\n", at)
    end = line_end if line_end >= 0 else len(text)
    if 0 <= close < end:
        end, message = close + 2, "this hole names no value"
    else:
        message = "the hole is never closed"
    return Diagnostic(
        "E005",
        message,
        Label(Span(start + at, start + end)),
        help="a hole is `{{name}}`, `{{name.field[0]}}` or `{{name | filter}}`; for two braces as they are, "
        "write `{{{{`, or quote the heredoc's tag: `<<'TAG'`",
        edits=(Edit(Span(start + at, start + at + 2), "{{{{", "Write two braces as they are"),),
    )


def _escape(found: re.Match[str], start: int, diagnostics: list[Diagnostic]) -> str:
    number, letter = found.groups()
    if number is not None and int(number, 16) <= 0x10FFFF and not 0xD800 <= int(number, 16) < 0xE000:
        return chr(int(number, 16))
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    span = Span(start + found.start(), start + found.end())
    diagnostics.append(
        Diagnostic(
            "E004",
            f"`{found.group()}` is no escape",
            Label(span),
            help="the escapes are `\\n \\t \\r \\0 \\\\ \\\" \\' \\{ \\}` and `\\u{1F642}`; "
            "for a backslash write `\\\\`",
            edits=(Edit(Span(span.start, span.start), "\\", "Write a backslash"),),
        )
    )
    return found.group()


def marks(text: str, *, escapes: bool) -> Iterator[tuple[str, int, int]]:
    """What stands for something else in the characters of a text: for those who colour them.

    Args:
        text: The characters.
        escapes: Whether backslashes mean something, as in strings.

    Yields:
        `hole` or `escape`, where it starts and ends.
    """
    at = 0
    mark = _MARK if escapes else _HEREDOC_MARK
    while (found := mark.search(text, at)) is not None:
        hole = _HOLE.match(text, found.start()) if found.group() == "{{" else None
        if hole is not None:
            yield "hole", hole.start(), hole.end()
        elif found.group() != "{{":
            yield "escape", found.start(), found.end()
        at = (hole or found).end()
