"""Passages: what a text is cut into, so that each says one thing and fits an embedder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

Unit = Literal["line", "page"]
Measure = Callable[[Sequence[str]], list[int]]
"""Lengths of texts in tokens, without what an embedder adds at their ends."""

_WORD = re.compile(r"\S+\s*")


@dataclass(frozen=True)
class Block:
    """A paragraph, a function, a list ...: what a reader says belongs together.

    Attributes:
        text: Its text.
        headings: The headings above it, the outermost first.
        first: Its first line (or page), from 1.
        last: Its last one.
    """

    text: str
    headings: tuple[str, ...]
    first: int
    last: int


@dataclass(frozen=True)
class Passage:
    """A part of a source.

    Attributes:
        text: Its text.
        headings: The headings above it, the outermost first.
        first: Its first line (or page), from 1.
        last: Its last one.
    """

    text: str
    headings: tuple[str, ...]
    first: int
    last: int

    @property
    def heading(self) -> str:
        """The headings in one line."""
        return " › ".join(self.headings)

    @property
    def embedded(self) -> str:
        """What its vector is made of: what it is about may stand in the headings alone."""
        return f"{self.heading}\n{self.text}" if self.headings else self.text

    @property
    def digest(self) -> str:
        """Tells it from other passages, wherever it stands."""
        return hashlib.sha256(f"{self.heading}\0{self.text}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class FoundPassage:
    """A passage that a search has found, and why.

    Attributes:
        id: Its id in the database.
        source: The file that it is of.
        heading: The headings above it.
        text: Its text.
        unit: Whether its place is one of lines or of pages.
        first: Its first line or page, from 1.
        last: Its last one.
        score: Its score among those found together; higher is better.
        words: Its place by words (1 is the best), None if they did not find it.
        nearness: Cosine of the angle between its vector and the question's, None if it was not among the nearest.
        feedback: What feedback on similar questions has added to its score (see `knowledge/feedback.py`).
    """

    id: str
    source: str
    heading: str
    text: str
    unit: Unit
    first: int
    last: int
    score: float
    words: int | None
    nearness: float | None
    feedback: float = 0.0

    @property
    def where(self) -> str:
        """Its place, for people: `guide.md, lines 3-9`."""
        places = (
            f"{self.unit} {self.first}" if self.first == self.last else f"{self.unit}s {self.first}-{self.last}"
        )
        return f"{self.source}, {places}"


def split(blocks: Iterable[Block], measure: Measure, *, limit: int, overlap: int) -> list[Passage]:
    """Cut blocks into passages of at most `limit` tokens.

    Blocks under the same headings are put together as long as they fit. A block that is too long is cut at its
    lines, a line that is too long between words. Of passages under the same headings, each begins with the end of
    the one before, as much of it as has at most `overlap` tokens, so that what stands at a cut is read in context.

    Args:
        blocks: In the order of the text.
        measure: Lengths of texts.
        limit: Tokens of a passage at most; headings do not count. A single word may be longer.
        overlap: Tokens that two passages share at most; less than `limit`.
    """
    passages: list[Passage] = []
    for headings, section in groupby(blocks, key=lambda block: block.headings):
        paragraphs = [_pieces(block, measure, limit) for block in section]
        for pieces in _packed(paragraphs, limit, overlap):
            text = "".join(piece.text for piece in pieces).strip("\n").rstrip()
            if text.strip():
                passages.append(Passage(text, headings, pieces[0].first, max(piece.last for piece in pieces)))
    return passages


@dataclass(frozen=True)
class _Piece:
    """What is not cut: a line, or a part of one that is too long. Its text has the line break after it."""

    text: str
    tokens: int
    first: int
    last: int


def _pieces(block: Block, measure: Measure, limit: int) -> list[_Piece]:
    """The lines of a block, those that are too long cut between words."""
    lines = block.text.splitlines()
    spread = block.last - block.first + 1 == len(lines)
    pieces = []
    for number, (line, tokens) in enumerate(zip(lines, measure(lines), strict=True)):
        first, last = (block.first + number,) * 2 if spread else (block.first, block.last)
        if tokens <= limit:
            pieces.append(_Piece(line + "\n", tokens, first, last))
            continue
        words = _WORD.findall(line)
        part, total = "", 0
        for word, length in zip(words, measure(words), strict=True):
            if part and total + length > limit:
                pieces.append(_Piece(part, total, first, last))
                part, total = "", 0
            part, total = part + word, total + length
        pieces.append(_Piece(part + "\n", total, first, last))
    if pieces:
        pieces[-1] = replace(pieces[-1], text=pieces[-1].text + "\n")  # an empty line between paragraphs
    return pieces


def _packed(paragraphs: Sequence[list[_Piece]], limit: int, overlap: int) -> Iterator[list[_Piece]]:
    """Pieces of each passage."""
    current: list[_Piece] = []
    shared = 0  # pieces at the beginning of `current` that the passage before has, too
    for paragraph in paragraphs:
        # A whole paragraph is not torn if it fits into a passage of its own.
        whole = [paragraph] if _tokens(paragraph) <= limit else [[piece] for piece in paragraph]
        for pieces in whole:
            if len(current) > shared and _tokens(current) + _tokens(pieces) > limit:
                yield current
                current = _end(current, min(overlap, limit - _tokens(pieces)))
                shared = len(current)
            current = current + pieces
    if len(current) > shared:
        yield current


def _end(pieces: list[_Piece], most: int) -> list[_Piece]:
    """The last pieces that have at most so many tokens together."""
    start, total = len(pieces), 0
    while start > 0 and total + pieces[start - 1].tokens <= most:
        start -= 1
        total += pieces[start].tokens
    return pieces[start:]


def _tokens(pieces: Sequence[_Piece]) -> int:
    return sum(piece.tokens for piece in pieces)
