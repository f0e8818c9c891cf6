"""Reads the first lines of a script: `#TISS! name=value name=value`, and `#TISS_VERSION >= 1.0`."""

from __future__ import annotations

from quanta_tissu.tisslang.syntax.reader import Reader
from quanta_tissu.tisslang.syntax.tokens import TokenKind
from quanta_tissu.tisslang.syntax.tree import Node, NodeKind, Setting


def read_header(reader: Reader, tree: Node) -> tuple[Setting, ...]:
    """Read the header, if there is one.

    Args:
        reader: At the start of a script; afterwards behind the header.
        tree: Gets a node for each line.

    Returns:
        What it sets.
    """
    settings: list[Setting] = []
    reader.skip_lines()
    while reader.is_a(TokenKind.HEADER):
        first = reader.number
        mark = reader.take()
        if mark.text == "#TISS_VERSION":
            while reader.is_a(TokenKind.SYMBOL):
                reader.take()
            if not reader.at_line_end():
                value = reader.take()
                settings.append(Setting("version", value.text, mark.span.to(value.span)))
        settings += _settings(reader)
        if not reader.at_line_end():
            reader.say(
                "E008",
                f"expected `name=value`, but found `{reader.token.text}`",
                reader.token.span,
                help="the header is `#TISS! version=1.0 Language=Python`",
            )
        reader.skip_rest_of_line()
        tree.children.append(Node(NodeKind.HEADER, first, reader.end_number))
        reader.skip_lines()
    return tuple(settings)


def _settings(reader: Reader) -> list[Setting]:
    found = []
    while reader.is_a(TokenKind.WORD) and reader.ahead().text == "=":
        name = reader.take()
        reader.take()
        if reader.at_line_end():
            reader.say("E008", f"expected the value of `{name.text}`", reader.here())
            break
        value = reader.take()
        found.append(Setting(name.text.lower(), value.text.strip("\"'"), name.span.to(value.span)))
    return found
