"""Diagnostics as people read them: the lines, with carets under what is meant."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Label, Severity
from quanta_tissu.tisslang.source import SourceFile, Span

_TAB = 4
_RESET, _BOLD = "\x1b[0m", "\x1b[1m"
_COLOURS = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.NOTE: "\x1b[1;36m"}
_BLUE = "\x1b[1;34m"


def render_all(diagnostics: Iterable[Diagnostic], source: SourceFile, *, colour: bool = False) -> str:
    """All of them, with an empty line between two."""
    return "\n".join(render(one, source, colour=colour) for one in diagnostics)


def render(diagnostic: Diagnostic, source: SourceFile, *, colour: bool = False) -> str:
    """One diagnostic, ended by a newline.

    Args:
        diagnostic: What is wrong.
        source: The script that it is about.
        colour: Whether the reader is a terminal with colours.
    """
    paint = _Painter(colour)
    severity = _COLOURS[diagnostic.severity]
    place = source.position(diagnostic.span.start)
    labels = sorted((diagnostic.label, *diagnostic.others), key=lambda one: one.span.start)
    lines = sorted({source.position(one.span.start).line for one in labels})
    width = len(str(lines[-1]))
    head = paint(f"{diagnostic.severity.value}[{diagnostic.code}]", severity) + paint(
        f": {diagnostic.message}", _BOLD
    )
    out = [head, f"{' ' * width}{paint('-->', _BLUE)} {source.name}:{place.line}:{place.column}"]
    bar = paint("|", _BLUE)
    before: int | None = None
    for line in lines:
        if before is not None and line > before + 1:
            out.append(paint("." * max(width, 3), _BLUE))
        before = line
        out.append(f"{paint(str(line).rjust(width), _BLUE)} {bar} {_shown(source.line_text(line))}".rstrip())
        for label in (one for one in labels if source.position(one.span.start).line == line):
            main = label is diagnostic.label
            mark = _underline(source, label, "^" if main else "-")
            out.append(f"{' ' * width} {bar} {paint(mark, severity if main else _BLUE)}")
    for note in diagnostic.notes:
        first, *rest = _visible(note)
        out.append(f"{' ' * width} {paint('=', _BLUE)} note: {first}")
        out += [f"{' ' * width}         {line}" for line in rest]
    if diagnostic.help is not None:
        out.append(f"{' ' * width} {paint('=', _BLUE)} help: {diagnostic.help}")
    return "\n".join(out) + "\n"


class _Painter:
    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, text: str, style: str) -> str:
        return f"{style}{text}{_RESET}" if self._colour else text


def _underline(source: SourceFile, label: Label, sign: str) -> str:
    """Signs below the characters of a label on its first line, and its words."""
    line = source.line_span(source.position(label.span.start).line)
    on_line = Span(label.span.start, max(min(label.span.end, line.end), label.span.start))
    indent = _columns(source[Span(line.start, min(on_line.start, line.end))])
    length = max(_columns(source[on_line], indent), 1)
    return f"{' ' * indent}{sign * length} {label.text}".rstrip()


def _shown(text: str) -> str:
    """A line as a terminal shows it: tabs as blanks, what cannot be seen as a sign for it."""
    shown, column = [], 0
    for character in text:
        width = _width(character, column)
        shown.append(" " * width if character == "\t" else character if character.isprintable() else "\ufffd")
        column += width
    return "".join(shown)


def _visible(note: str) -> list[str]:
    """The lines of a note, without what a terminal would obey."""
    return [_shown(line) for line in note.splitlines()] or [""]


def _columns(text: str, start: int = 0) -> int:
    """How many columns a text takes from a column on."""
    column = start
    for character in text:
        column += _width(character, column)
    return column - start


def _width(character: str, column: int) -> int:
    if character == "\t":
        return _TAB - column % _TAB
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0 if character.isprintable() else 1
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
