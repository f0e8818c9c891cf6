"""What goes wrong in a run: a diagnostic like those of the checks, with what led to it."""

from __future__ import annotations

import re
from typing import Any

from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Label
from quanta_tissu.tisslang.engine.effects import Site

_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?")


class Failure(Exception):  # noqa: N818 - the language's word: TRY catches it, and it is no error of the engine
    """A statement failed; TRY and RETRY catch it, and otherwise the run ends with it.

    Args:
        code: Of the catalogue.
        message: What is wrong, with the values.
        site: Where.
        label: A few words for the place.
        others: Places that explain it; those in other scripts become notes.
        notes: Lines that explain it: the end of a command's output.
        help: What to do, as a sentence.
        data: What programs, and models that are asked for a correction, may want of it.

    Attributes:
        steps: The keys of the steps that failed with it, of steps in each other the outermost; several if branches
            failed at the same time, none outside of steps.
    """

    def __init__(
        self,
        code: str,
        message: str,
        site: Site,
        *,
        label: str = "",
        others: tuple[tuple[Site, str], ...] = (),
        notes: tuple[str, ...] = (),
        help: str | None = None,
        **data: Any,
    ) -> None:
        super().__init__(message)
        here = [Label(one.span, text) for one, text in others if one.source is site.source]
        elsewhere = [
            f"{text}: {one.source.name}:{one.line}" for one, text in others if one.source is not site.source
        ]
        self.site = site
        self.steps: tuple[str, ...] = ()
        self.diagnostic = Diagnostic(
            code,
            message,
            Label(site.span, label),
            others=tuple(here),
            help=help,
            notes=(*notes, *elsewhere),
            data=data,
        )

    def signature(self) -> str:
        """What makes two failures the same: where, which values, and what was written, numbers in it apart."""
        one = self.diagnostic
        said = _NUMBER.sub("#", "\n".join(one.notes))  # times and addresses differ from run to run
        return f"{one.code} {self.site.source.name}:{self.site.span} {one.message} {one.label.text} {said}"

    def value(self) -> dict[str, Any]:
        """The failure as a value: what CATCH AS gives, and what a model is told that shall mend it."""
        one = self.diagnostic
        return {
            "code": one.code,
            "message": one.message,
            "file": self.site.source.name,
            "line": self.site.line,
            "statement": self.site.text,
            "label": one.label.text,
            "notes": list(one.notes),
            "help": one.help,
            **dict(one.data),
        }
