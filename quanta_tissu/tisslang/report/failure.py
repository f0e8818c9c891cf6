"""A failure as the checks of a script show theirs: the place underlined, with what explains it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Label
from quanta_tissu.tisslang.diagnostics.text import render
from quanta_tissu.tisslang.report.markup import Html, element, joined
from quanta_tissu.tisslang.report.parts import rest
from quanta_tissu.tisslang.report.story import Entry
from quanta_tissu.tisslang.source import SourceFile, Span

_MARK = re.compile(r"( *\| *)((?:\^+|-+).*\n?)")
_ASIDE = re.compile(r" *(?:-->|=) ")
_SAID = {
    "code",
    "message",
    "file",
    "line",
    "statement",
    "label",
    "notes",
    "help",
    "span",
    "key",
    "others",
    "severity",
}


def render_failure(entry: Entry, sources: Mapping[str, str]) -> Html:
    """A recorded diagnostic.

    Args:
        entry: Of its record.
        sources: The scripts by name.
    """
    fields = entry.fields
    name = str(fields.get("file") or next(iter(sources), ""))
    diagnostic = _diagnostic(fields, len(sources.get(name, "")))
    if diagnostic is not None and name in sources:
        lines = render(diagnostic, SourceFile(sources[name], name), colour=False).splitlines(keepends=True)
        shown = element("pre", [_coloured(number, line) for number, line in enumerate(lines)])
    else:
        shown = joined(
            element("p", element("b", str(fields.get("code", ""))), " ", str(fields.get("message", ""))),
            element("p", "help: ", str(fields["help"])) if fields.get("help") else None,
        )
    more = rest(fields, _SAID)
    folded = element("details", element("summary", "more"), more, class_="fold") if more else None
    return element("div", shown, folded, class_="failure", id=f"r{entry.record}")


def _coloured(number: int, line: str) -> Html:
    """A line of a rendered diagnostic, as a terminal would show it."""
    if number == 0:
        return element("b", line, class_="bad")
    if match := _MARK.fullmatch(line):
        return joined(match[1], element("b", match[2], class_="bad" if match[2][0] == "^" else "hint"))
    return element("span", line, class_="dim") if _ASIDE.match(line) else joined(line)


def _diagnostic(fields: Mapping[str, Any], length: int) -> Diagnostic | None:
    """The diagnostic of a record; None if its place is not there."""
    span = _span(fields.get("span"), length)
    if span is None:
        return None
    others = []
    for one in fields.get("others") or ():
        if isinstance(one, dict) and (place := _span(one.get("span"), length)) is not None:
            others.append(Label(place, str(one.get("text") or one.get("label") or "")))
    notes = fields.get("notes")
    return Diagnostic(
        str(fields.get("code", "")),
        str(fields.get("message", "")),
        Label(span, str(fields.get("label") or "")),
        others=tuple(others),
        help=str(fields["help"]) if fields.get("help") else None,
        notes=tuple(map(str, notes)) if isinstance(notes, list) else (),
    )


def _span(value: Any, length: int) -> Span | None:
    match value:
        case [int(start), int(end)] if 0 <= start <= end <= length:
            return Span(start, end)
    return None
