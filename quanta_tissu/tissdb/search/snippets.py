"""Snippets: the part of a document's text that shows best why words have found it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quanta_tissu.tissdb.backend import Connection, Token
from quanta_tissu.tissdb.definitions import Index, TextQuery
from quanta_tissu.tissdb.paths import path_text
from quanta_tissu.tissdb.search.text import text_at
from quanta_tissu.tissdb.values import Value

LENGTH = 200
"""Characters of a snippet, about."""

_LONGEST = 20_000
"""Characters of a field that are looked at."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Snippet:
    """Part of a text, and where in it the words stand that were found.

    Attributes:
        field: The field from which it is, as a path.
        text: It; `…` where the text goes on.
        spans: Beginning and end of each word or phrase in it.
    """

    field: str
    text: str
    spans: tuple[Span, ...]

    def marked(self, before: str = "**", after: str = "**") -> str:
        """The text, with marks before and after what was found."""
        out, place = [], 0
        for start, end in self.spans:
            out += [self.text[place:start], before, self.text[start:end], after]
            place = end
        return "".join([*out, self.text[place:]])


def snippets(
    connection: Connection, index: Index, query: TextQuery, values: Sequence[dict[str, Value]]
) -> list[Snippet | None]:
    """A snippet of each document, None where no word is found in its first 20,000 characters of a field.

    Args:
        connection: Whose engine takes texts apart.
        index: The index by which the documents were found.
        query: What was looked for.
        values: The documents.
    """
    terms = (*query.wanted, *query.required)
    texts = [text_at(value, path)[:_LONGEST] for value in values for path in index.paths]
    asked = [" ".join(term.words) for term in terms]
    tokens = connection.dialect.text.tokens(connection, index, [*asked, *texts])
    wanted = [
        (tuple(token.stem for token in found), term.prefix)
        for term, found in zip(terms, tokens[: len(terms)], strict=True)
    ]
    fields = [path_text(path) for path in index.paths]
    width = len(fields)
    found = [_places(one, wanted) for one in tokens[len(terms) :]]
    out: list[Snippet | None] = []
    for first in range(0, len(texts), width):
        best = max(range(first, first + width), key=lambda place: (_variety(found[place]), -place))
        out.append(_cut(fields[best - first], texts[best], found[best]) if found[best] else None)
    return out


def _places(tokens: Sequence[Token], wanted: Sequence[tuple[tuple[str, ...], bool]]) -> list[tuple[Span, int]]:
    """Where terms stand in a text, and which they are, in order."""
    stems = [token.stem for token in tokens]
    out = []
    for number, (words, prefix) in enumerate(wanted):
        if not words:
            continue
        *before, last = words
        for place in range(len(before), len(stems)):
            fits = stems[place].startswith(last) if prefix else stems[place] == last
            first = place - len(before)
            if fits and stems[first:place] == before:
                out.append(((tokens[first].start, tokens[place].end), number))
    return sorted(out)


def _variety(found: Sequence[tuple[Span, int]]) -> tuple[int, int]:
    return len({number for _, number in found}), len(found)


def _cut(field: str, text: str, found: Sequence[tuple[Span, int]]) -> Snippet:
    """The window in which most different terms stand, and of equal ones the first."""
    best, most = 0, (0, 0)
    last = 0
    for first, ((start, _), _) in enumerate(found):
        last = max(last, first + 1)
        while last < len(found) and found[last][0][1] - start <= LENGTH:
            last += 1
        variety = _variety(found[first:last])
        if variety > most:
            best, most = first, variety
    inside = [span for span, _ in found[best : best + most[1]]]
    room = max(0, LENGTH - (inside[-1][1] - inside[0][0]))
    start = max(0, inside[0][0] - room // 2)
    end = min(len(text), max(inside[-1][1], start + LENGTH))
    start = max(0, min(start, end - LENGTH))
    if start:
        start = min(_after_space(text, start), inside[0][0])
    if end < len(text):
        end = max(_before_space(text, end), inside[-1][1])
    head, tail = "…" if start else "", "…" if end < len(text) else ""
    spans = _joined([span for span, _ in found if span[0] >= start and span[1] <= end])
    shift = len(head) - start
    return Snippet(field, head + text[start:end] + tail, tuple((a + shift, b + shift) for a, b in spans))


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Spans that overlap, as one."""
    out: list[Span] = []
    for start, end in spans:
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _after_space(text: str, place: int) -> int:
    """The beginning of a word, at a place or soon after it."""
    for at in range(place, min(place + 30, len(text))):
        if text[at - 1].isspace():
            return at
    return place


def _before_space(text: str, place: int) -> int:
    """The end of a word, at a place or soon before it."""
    for at in range(place, max(place - 30, 0), -1):
        if text[at].isspace():
            return at
    return place
