"""HTML: what a page shows, under its headings; scripts, styles and navigation are not read."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from quanta_tissu.knowledge.passages import Block

_UNREAD = {"script", "style", "nav", "head", "template", "noscript", "svg", "footer", "form"}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BREAKS = {
    "address", "article", "aside", "blockquote", "body", "br", "dd", "div", "dl", "dt", "figcaption", "figure",
    "header", "hr", "html", "li", "main", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul",
}  # fmt: skip


def read_html(text: str) -> list[Block]:
    """Cut a page into its paragraphs, list items, cells and preformatted pieces."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    reader.flush()
    return reader.blocks


class _Reader(HTMLParser):
    """Collects text until an element begins or ends that stands by itself."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._headings: list[tuple[int, str]] = []
        self._text: list[str] = []
        self._first = self._last = 1
        self._unread: list[str] = []
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        if self._unread or tag in _UNREAD:
            # What stands in an unread element matters only for finding its end.
            if tag in _UNREAD:
                self.flush()
                self._unread.append(tag)
            return
        if tag in _HEADINGS or (tag in _BREAKS and not (tag == "br" and self._preformatted)):
            self.flush()
        if tag == "br" and self._preformatted:
            self._text.append("\n")
        self._preformatted += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        if self._unread:
            if tag in self._unread:
                while self._unread.pop() != tag:
                    pass
            elif tag == "body":
                self._unread.clear()
            return
        if tag in _HEADINGS:
            self._enter(_HEADINGS[tag])
        elif tag in _BREAKS:
            self.flush()
        self._preformatted = max(0, self._preformatted - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        """Text."""
        if self._unread:
            return
        line = self.getpos()[0]
        if not self._text:
            if not data.strip():
                return
            line += data[: len(data) - len(data.lstrip())].count("\n")
            self._first = line
        self._text.append(data)
        self._last = max(line, self.getpos()[0] + data.rstrip().count("\n"))

    def flush(self) -> None:
        """Make a block of the text so far."""
        text = self._taken()
        if text:
            self.blocks.append(Block(text, tuple(title for _, title in self._headings), self._first, self._last))

    def _enter(self, level: int) -> None:
        title = " ".join(self._taken().split())
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        if title:
            self._headings.append((level, title))

    def _taken(self) -> str:
        text = "".join(self._text).replace("¶", "")  # the mark of links to a heading in manuals
        self._text.clear()
        if self._preformatted:
            return text.strip("\n").rstrip()
        return re.sub(r"\s+", " ", text).strip()
