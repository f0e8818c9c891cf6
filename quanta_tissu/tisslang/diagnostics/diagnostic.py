"""A diagnostic: data about a mistake. How it looks is for renderers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from quanta_tissu.tisslang.source import Span


class Severity(Enum):
    """How bad it is."""

    ERROR = "error"
    """The script does not run."""
    WARNING = "warning"
    """It runs, and probably not as it was meant."""
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Label:
    """A place, and what is to be said about it.

    Attributes:
        span: The characters.
        text: A few words; may be empty.
    """

    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the text that mends it.

    Attributes:
        span: What is replaced; empty to insert.
        text: By what.
        description: What the change does, as an imperative sentence.
        safe: Whether it may be made without asking.
    """

    span: Span
    text: str
    description: str
    safe: bool = False


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A mistake in a script.

    Attributes:
        code: Its number in the catalogue: `E010`.
        message: What is wrong, with the offending thing in back quotes.
        label: Where.
        severity: How bad it is.
        others: Places that explain it.
        help: What to do, as a sentence.
        edits: Changes that mend it.
        data: What programs may want of it.
        notes: Lines that explain it: the end of what a command wrote.
    """

    code: str
    message: str
    label: Label
    severity: Severity = Severity.ERROR
    others: tuple[Label, ...] = ()
    help: str | None = None
    edits: tuple[Edit, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def span(self) -> Span:
        """Where it is."""
        return self.label.span


def in_order(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """By place, each once."""
    return sorted(
        {(one.code, one.span): one for one in diagnostics}.values(), key=lambda one: (one.span.start, one.code)
    )
