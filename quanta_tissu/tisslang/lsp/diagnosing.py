"""Mistakes as an editor shows them, and the changes that mend them."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol import types as lsp

from quanta_tissu.tisslang.diagnostics.catalogue import BY_CODE
from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Edit, Severity
from quanta_tissu.tisslang.lsp.library import Known

SOURCE = "tissu"

_SEVERITIES = {
    Severity.ERROR: lsp.DiagnosticSeverity.Error,
    Severity.WARNING: lsp.DiagnosticSeverity.Warning,
    Severity.NOTE: lsp.DiagnosticSeverity.Information,
}
_UNREACHABLE = "W108"

FIX_ALL = f"{lsp.CodeActionKind.SourceFixAll.value}.{SOURCE}"


def shown(diagnostic: Diagnostic, known: Known) -> lsp.Diagnostic:
    """A mistake; what is said of other places goes with them."""
    label = diagnostic.label.text
    lines = [diagnostic.message if not label else f"{diagnostic.message}: {label}"]
    if diagnostic.help is not None:
        lines.append(f"help: {diagnostic.help}")
    return lsp.Diagnostic(
        range=known.places.range(diagnostic.span),
        message="\n".join(lines),
        severity=_SEVERITIES[diagnostic.severity],
        code=diagnostic.code,
        source=SOURCE,
        tags=[lsp.DiagnosticTag.Unnecessary] if diagnostic.code == _UNREACHABLE else None,
        related_information=[
            lsp.DiagnosticRelatedInformation(known.location(one.span), one.text or BY_CODE[diagnostic.code].title)
            for one in diagnostic.others
        ],
    )


def actions(known: Known, diagnostics: Iterable[Diagnostic], range: lsp.Range) -> list[lsp.CodeAction]:
    """The changes that mend what is wrong in a range, and one for all that are safe."""
    found = []
    asked = known.places.span(range)
    safe: list[Edit] = []
    for diagnostic in diagnostics:
        safe += [edit for edit in diagnostic.edits[:1] if edit.safe]
        if diagnostic.span.start > asked.end or diagnostic.span.end < asked.start:
            continue
        found += [
            lsp.CodeAction(
                title=edit.description,
                kind=lsp.CodeActionKind.QuickFix,
                diagnostics=[shown(diagnostic, known)],
                is_preferred=edit.safe,
                edit=_change(known, [edit]),
            )
            for edit in diagnostic.edits
        ]
    if safe:
        title = "Mend all that can be mended safely"
        found.append(lsp.CodeAction(title=title, kind=FIX_ALL, edit=_change(known, _apart(safe))))
    return found


def _change(known: Known, edits: list[Edit]) -> lsp.WorkspaceEdit:
    return lsp.WorkspaceEdit(
        changes={known.uri: [lsp.TextEdit(known.places.range(edit.span), edit.text) for edit in edits]}
    )


def _apart(edits: list[Edit]) -> list[Edit]:
    """Changes that do not touch each other: the first of those that do."""
    found: list[Edit] = []
    for edit in sorted(edits, key=lambda one: one.span):
        if not found or edit.span.start > found[-1].span.end:
            found.append(edit)
    return found
