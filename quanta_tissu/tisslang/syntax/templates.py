"""How a command is begun in an editor: its parts as places to fill in, in the notation that editors share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from quanta_tissu.tisslang.syntax.shapes import (
    Block,
    Command,
    Maybe,
    NameOf,
    Part,
    Sign,
    Title,
    Value,
    Word,
)


def template(command: Command) -> str:
    """A command as a snippet: `READ ${1:path} AS ${2:into}`; what may be left out is left out."""
    numbers = count(1)
    return " ".join((command.keyword, *(piece for part in command.parts for piece in _piece(part, numbers))))


def _piece(part: Part, numbers: Iterator[int]) -> Iterator[str]:
    match part:
        case Word(text=text) | Sign(text=text):
            yield text
        case NameOf(among=among) if among:
            yield f"${{{next(numbers)}|{','.join(among)}|}}"
        case Value(field=field) | NameOf(field=field):
            yield f"${{{next(numbers)}:{field}}}"
        case Title(field=field):
            yield f'"${{{next(numbers)}:{field}}}"'
        case Block():
            yield "{\n    $0\n}"
        case Maybe(parts=(Block(),)):
            yield "{\n    $0\n}"
        case _:
            pass  # what may be left out
