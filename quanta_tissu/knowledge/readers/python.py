"""Python: a block for each function, each class up to its first method, and what stands between them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from quanta_tissu.knowledge.passages import Block
from quanta_tissu.knowledge.readers.text import read_text

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def read_python(text: str) -> list[Block]:
    """Cut a module by its structure; one that is not valid Python is read as plain text."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return read_text(text)
    lines = text.splitlines()
    return list(_blocks(tree.body, lines, (), 1, len(lines)))


def _blocks(
    body: list[ast.stmt], lines: list[str], headings: tuple[str, ...], first: int, last: int
) -> Iterator[Block]:
    """Blocks of lines `first` to `last`, which hold the statements of `body`."""
    for node in body:
        if not isinstance(node, _Definition):
            continue
        start, end = _start(node), node.end_lineno or node.lineno
        if start > first:
            yield from read_text(_between(lines, first, start - 1), headings, first)
        inner = (*headings, _name(node))
        if isinstance(node, ast.ClassDef):
            yield from _blocks(node.body, lines, inner, start, end)
        else:
            yield Block(_between(lines, start, end), inner, start, end)
        first = end + 1
    if first <= last:
        yield from read_text(_between(lines, first, last), headings, first)


def _start(node: _Definition) -> int:
    """The line of its first decorator."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _name(node: _Definition) -> str:
    """`class Name`, `def name` or `async def name`."""
    kind = {ast.ClassDef: "class", ast.AsyncFunctionDef: "async def"}.get(type(node), "def")
    return f"{kind} {node.name}"


def _between(lines: list[str], first: int, last: int) -> str:
    return "\n".join(lines[first - 1 : last])
