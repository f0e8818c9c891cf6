"""What the checks say, gathered."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Edit, Label, Severity
from quanta_tissu.tisslang.source import Span


class Report:
    """Diagnostics as they are found.

    Attributes:
        diagnostics: Those so far.
    """

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []

    def say(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        label: str = "",
        others: Iterable[Label] = (),
        help: str | None = None,
        edits: Iterable[Edit] = (),
        **data: object,
    ) -> None:
        """Note what is wrong; codes that begin with W are warnings."""
        severity = Severity.WARNING if code.startswith("W") else Severity.ERROR
        self.diagnostics.append(
            Diagnostic(
                code, message, Label(span, label), severity, tuple(others), help, edits=tuple(edits), data=data
            )
        )

    def unknown(self, code: str, what: str, name: str, span: Span, known: Iterable[str]) -> None:
        """Note that a name is none of those that there are."""
        names = sorted(known)
        close = get_close_matches(name, names, n=1) or get_close_matches(name.upper(), names, n=1)
        self.say(
            code,
            f"{what} `{name}` is unknown",
            span,
            label=f"did you mean `{close[0]}`?" if close else "",
            help=f"known are {', '.join(f'`{one}`' for one in names)}" if names else None,
            edits=[Edit(span, close[0], f"Write `{close[0]}`")] if close else [],
            name=name,
        )
