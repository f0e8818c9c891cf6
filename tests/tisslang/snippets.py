"""The scripts of the language's reference, and what each needs in order to run on its own in an empty project.

A comment before a script, which no reader sees, says what it needs and what comes of it (YAML):

    <!-- run: {model: ["Go, dog."], people: [approve], files: {notes.txt: hello}, logs: [hello]} -->

Where generated parts have it from is docs/needs.yaml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).parents[2] / "docs" / "tisslang.md"

_SNIPPET = re.compile(r"^(?:<!-- run: (\{[^\n]*\}) -->\n)?```tiss\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """A script of the reference.

    Attributes:
        text: It.
        line: Where it begins on the page.
        model: What the model answers, in order.
        people: What people answer, in order.
        files: What is in the project before, by path.
        database: The documents of collections before.
        logs: What LOG says.
        after: What is in files of the project afterwards; None: they are not there.
        ends: How the run ends: `done`, `failed` or `paused`.
    """

    text: str
    line: int
    model: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    database: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    logs: list[str] | None = None
    after: dict[str, str | None] = field(default_factory=dict)
    ends: str = "done"

    @property
    def name(self) -> str:
        """What it is called in the list of tests."""
        return f"line {self.line}: {self.text.splitlines()[0][:40]}"


def snippets() -> list[Snippet]:
    """All scripts of the reference."""
    page = PAGE.read_text(encoding="utf-8")
    found = list(_SNIPPET.finditer(page))
    assert page.count("<!-- run: ") == sum(bool(one[1]) for one in found), "a comment is before no script"
    return [
        Snippet(
            text=one[2],
            line=page.count("\n", 0, one.start(2)) + 1,
            **(yaml.safe_load(one[1]) if one[1] else {}),
        )
        for one in found
    ]
