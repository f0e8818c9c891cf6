"""Diagnostics as programs read them: JSON lines, SARIF 2.1.0, annotations of GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from quanta_tissu import __version__
from quanta_tissu.tisslang.diagnostics.catalogue import BY_CODE
from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Severity
from quanta_tissu.tisslang.source import SourceFile, Span

Found = tuple[Diagnostic, SourceFile]
"""What is wrong, and with which script."""


def as_dict(diagnostic: Diagnostic, source: SourceFile) -> dict[str, Any]:
    """All of a diagnostic: places by line, column (both from 1) and offset (from 0), in characters."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        "file": source.name,
        "place": _place(diagnostic.span, source),
        "label": diagnostic.label.text,
        "others": [{"place": _place(one.span, source), "label": one.text} for one in diagnostic.others],
        "help": diagnostic.help,
        "edits": [
            {
                "place": _place(one.span, source),
                "text": one.text,
                "description": one.description,
                "safe": one.safe,
            }
            for one in diagnostic.edits
        ],
        "data": dict(diagnostic.data),
    }


def json_lines(found: Iterable[Found]) -> str:
    """One object on each line."""
    return "".join(json.dumps(as_dict(*one), ensure_ascii=False) + "\n" for one in found)


def github(found: Iterable[Found]) -> str:
    """Workflow commands that GitHub Actions shows beside the line."""
    lines = []
    for diagnostic, source in found:
        place = _place(diagnostic.span, source)
        kind = "notice" if diagnostic.severity is Severity.NOTE else diagnostic.severity.value
        where = (
            f"file={_escaped(source.name, property=True)},line={place['line']},endLine={place['end_line']},"
            f"col={place['column']},endColumn={place['end_column']},title={diagnostic.code}"
        )
        text = diagnostic.message if diagnostic.help is None else f"{diagnostic.message}\nhelp: {diagnostic.help}"
        lines.append(f"::{kind} {where}::{_escaped(text)}\n")
    return "".join(lines)


def sarif(found: Iterable[Found]) -> str:
    """A run of the Static Analysis Results Interchange Format (OASIS, version 2.1.0)."""
    found = list(found)
    codes = sorted({diagnostic.code for diagnostic, _ in found})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": BY_CODE[code].title},
            "fullDescription": {"text": BY_CODE[code].why},
        }
        for code in codes
    ]
    results = [
        {
            "ruleId": diagnostic.code,
            "ruleIndex": codes.index(diagnostic.code),
            "level": diagnostic.severity.value,
            "message": {"text": diagnostic.message},
            "locations": [_sarif_location(diagnostic.span, source)],
            "relatedLocations": [
                {**_sarif_location(one.span, source), "message": {"text": one.text}} for one in diagnostic.others
            ],
        }
        for diagnostic, source in found
    ]
    driver = {"name": "tissu lang check", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=2) + "\n"


def _place(span: Span, source: SourceFile) -> dict[str, int]:
    start, end = source.position(span.start), source.position(span.end)
    return {
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "offset": span.start,
        "length": span.end - span.start,
    }


def _sarif_location(span: Span, source: SourceFile) -> dict[str, Any]:
    start, end = source.position(span.start), source.position(span.end)
    region = {
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    }
    return {"physicalLocation": {"artifactLocation": {"uri": source.name}, "region": region}}


def _escaped(text: str, *, property: bool = False) -> str:
    """As GitHub's toolkit escapes the text of workflow commands, and more in their properties."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property else text
