"""Places as an editor counts them: lines from 0, columns from 0 in code units of some encoding."""

from __future__ import annotations

import re
from bisect import bisect_right

from lsprotocol import types as lsp

from quanta_tissu.tisslang.source import Span

_LINE_END = re.compile(r"\r\n|\n|\r")
"""What ends a line in the protocol; in the language a lone carriage return does not."""


class Places:
    """Translates between offsets of a text, in code points, and an editor's positions.

    Args:
        text: The text.
        encoding: In whose units columns are counted.
    """

    def __init__(
        self, text: str, encoding: lsp.PositionEncodingKind | str = lsp.PositionEncodingKind.Utf16
    ) -> None:
        self._text = text
        self._encoding = encoding
        self._starts = [0]
        self._ends = []
        for found in _LINE_END.finditer(text):
            self._ends.append(found.start())
            self._starts.append(found.end())
        self._ends.append(len(text))
        self._ascii = text.isascii()

    def position(self, offset: int) -> lsp.Position:
        """Where an offset is."""
        line = bisect_right(self._starts, offset) - 1
        start = self._starts[line]
        before = self._text[start:offset]
        return lsp.Position(line, len(before) if self._ascii else sum(map(self._units, before)))

    def offset(self, position: lsp.Position) -> int:
        """The offset of a position; the nearest one, where there is no such place."""
        if position.line >= len(self._starts):
            return len(self._text)
        at, end = self._starts[position.line], self._ends[position.line]
        if self._ascii:
            return min(at + position.character, end)
        left = position.character
        while left > 0 and at < end:
            left -= self._units(self._text[at])
            at += 1
        return at if left >= 0 else at - 1  # in the middle of a character: before it

    def range(self, span: Span) -> lsp.Range:
        """Where some characters are."""
        return lsp.Range(self.position(span.start), self.position(span.end))

    def span(self, range: lsp.Range) -> Span:
        """The characters of a range."""
        start = self.offset(range.start)
        return Span(start, max(self.offset(range.end), start))

    def length(self, text: str) -> int:
        """How long a text is, in the editor's units."""
        return len(text) if self._ascii else sum(map(self._units, text))

    def lines(self, span: Span) -> list[Span]:
        """The parts of some characters, line by line, without what ends the lines."""
        found = []
        line = bisect_right(self._starts, span.start) - 1
        while line < len(self._starts) and self._starts[line] < max(span.end, 1):
            start, end = max(span.start, self._starts[line]), min(span.end, self._ends[line])
            if start < end:
                found.append(Span(start, end))
            line += 1
        return found

    def _units(self, character: str) -> int:
        code = ord(character)
        if self._encoding == lsp.PositionEncodingKind.Utf32:
            return 1
        if self._encoding == lsp.PositionEncodingKind.Utf8:
            return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
        return 1 if code < 0x10000 else 2
