"""A script's text, and places in it.

Offsets count code points from 0; whoever needs another unit (the language server: UTF-16) converts at the edge.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple


class Span(NamedTuple):
    """Characters from `start` up to, without, `end`."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        """From the start of this to the end of another."""
        return Span(self.start, max(self.end, other.end))


class Position(NamedTuple):
    """A place as people name it: line and column from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A script.

    Args:
        text: All its characters, as they are in the file.
        name: What people call it: its path, or `<input>`.
    """

    text: str
    name: str = "<input>"
    _starts: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        object.__setattr__(self, "_starts", starts)

    def position(self, offset: int) -> Position:
        """Line and column of an offset."""
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)

    def offset(self, line: int, column: int) -> int:
        """The offset of a line and a column; the nearest one, where there is no such place."""
        line = min(max(line, 1), len(self._starts))
        start, end = self.line_span(line)
        return min(start + max(column, 1) - 1, end)

    @property
    def line_count(self) -> int:
        """How many lines there are; an empty text has one."""
        return len(self._starts)

    def line_span(self, line: int) -> Span:
        """Where a line is, without what ends it."""
        start = self._starts[line - 1]
        end = self._starts[line] - 1 if line < len(self._starts) else len(self.text)
        if end > start and self.text[end - 1] == "\r":
            end -= 1
        return Span(start, end)

    def line_text(self, line: int) -> str:
        """A line, without what ends it."""
        return self[self.line_span(line)]

    def __getitem__(self, span: Span) -> str:
        return self.text[span.start : span.end]
