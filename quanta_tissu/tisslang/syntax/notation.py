"""How a command is written, as the documentation shows it.

`[ ]` may be left out, `*` may be repeated: `READ <path> AS <into>`.
"""

from __future__ import annotations

from quanta_tissu.tisslang.syntax.shapes import (
    Block,
    Command,
    Many,
    Maybe,
    NameOf,
    Names,
    Part,
    Sign,
    Title,
    Value,
    Values,
    Word,
)


def notation(command: Command) -> str:
    """A command with its parts, on one line."""
    return " ".join([command.keyword, *(_part(part) for part in command.parts)])


def _part(part: Part) -> str:
    match part:
        case Word(text=text) | Sign(text=text):
            return text
        case Value(field=field) | NameOf(field=field):
            return f"<{field}>"
        case Title(field=field):
            return f'"<{field}>"'
        case Block():
            return "{ ... }"
        case Names(field=field) | Values(field=field):
            return f"[(<{field}>, ...)]"
        case Maybe(parts=parts):
            return f"[{' '.join(map(_part, parts))}]"
        case Many(parts=parts):
            return f"[{' '.join(map(_part, parts))}]*"
