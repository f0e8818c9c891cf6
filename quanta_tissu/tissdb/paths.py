"""Paths into documents, written as in TissQL: `a.b[0]."odd key"`."""

from __future__ import annotations

import json
import re
from typing import Any

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.definitions import Path

_STEP = re.compile(r'\.?(?:(?P<name>[^\W\d][\w-]*)|"(?P<quoted>(?:[^"\\]|\\.)+)")|\[(?P<place>\d{1,6})\]')


def parse_path(text: str) -> Path:
    """The steps of a path.

    Raises:
        DatabaseError: It is no path.
    """
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None or (match[0][0] == ".") != (bool(steps) and match["place"] is None):
            raise DatabaseError(
                f"{text!r} is no path into a document: it stops making sense at character {position + 1}",
                hint='as in: title, author.name, tags[0], author."last name"',
            )
        if match["place"] is not None:
            steps.append(int(match["place"]))
        else:
            steps.append(match["name"] or json.loads(f'"{match["quoted"]}"'))
        position = match.end()
    if not steps or isinstance(steps[0], int):
        raise DatabaseError(f"{text!r} is no path into a document", hint="a path begins with the name of a field")
    return tuple(steps)


def at_path(value: Any, path: Path) -> Any:
    """What stands at a path of a document, None if nothing does."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list | tuple) and step < len(value) else None
    return value


def path_text(path: Path) -> str:
    """A path as it is written."""
    parts = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        else:
            plain = re.fullmatch(r"[^\W\d][\w-]*", step)
            parts.append(("." if parts else "") + (step if plain else json.dumps(step, ensure_ascii=False)))
    return "".join(parts)
