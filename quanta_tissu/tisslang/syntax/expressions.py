"""What expressions are: frozen views with spans, without any way to evaluate them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as OneOf

from quanta_tissu.tisslang.source import Span

Comparison = OneOf["==", "!=", "<", "<=", ">", ">=", "CONTAINS", "MATCHES"]
Operator = OneOf["AND", "OR", "+", "-"] | Comparison


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a truth value, or nothing."""

    value: int | float | bool | None
    span: Span


@dataclass(frozen=True, slots=True)
class Duration:
    """A time: `90s`, `1.5h`.

    Attributes:
        seconds: How long.
    """

    seconds: float
    span: Span


@dataclass(frozen=True, slots=True)
class Filter:
    """`| name` in a hole."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Hole:
    """`{{value | filter}}` in a text.

    Attributes:
        value: A variable, or something in it.
        filters: What is done to it, in this order.
        span: From the first brace to the last.
    """

    value: Expression
    filters: tuple[Filter, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters of a text, escapes resolved."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Text:
    """A string or a heredoc.

    Attributes:
        parts: What it is made of, in order.
        span: With quotes; of a heredoc, where it is asked for.
        tag: Of a heredoc.
    """

    parts: tuple[Piece | Hole, ...]
    span: Span
    tag: str | None = None

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The holes in it."""
        return tuple(part for part in self.parts if isinstance(part, Hole))

    @property
    def plain(self) -> str | None:
        """Its characters; None if it has holes, since nobody knows them yet."""
        if any(isinstance(part, Hole) for part in self.parts):
            return None
        return "".join(part.text for part in self.parts if isinstance(part, Piece))


@dataclass(frozen=True, slots=True)
class List:
    """`[a, b]`."""

    items: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """`key: value` of an object."""

    key: str
    value: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Object:
    """`{key: value}`."""

    entries: tuple[Entry, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Variable:
    """A name that stands for a value; also `LAST_RUN` and `COST`."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Member:
    """`base.name`."""

    base: Expression
    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Item:
    """`base[index]`."""

    base: Expression
    index: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class File:
    """`FILE "path"`: a file of the project; as a value, its text."""

    path: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT operand`."""

    operand: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Negative:
    """`-operand`."""

    operand: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Test:
    """`operand EXISTS`, `operand IS_EMPTY`.

    Attributes:
        name: Which of them.
        operand: What is tested.
        span: Both.
    """

    name: OneOf["EXISTS", "IS_EMPTY"]
    operand: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`.

    Attributes:
        operator: The operator.
        left: Before it.
        right: After it.
        span: All of it.
    """

    operator: Operator
    left: Expression
    right: Expression
    span: Span


Expression = (
    Constant | Duration | Text | List | Object | Variable | Member | Item | File | Not | Negative | Test | Binary
)
"""Every expression is one of these."""


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions that one is made of, in order."""
    match expression:
        case Constant() | Duration() | Variable():
            return ()
        case Text():
            return tuple(hole.value for hole in expression.holes)
        case List(items=items):
            return items
        case Object(entries=entries):
            return tuple(entry.value for entry in entries)
        case Member(base=base):
            return (base,)
        case Item(base=base, index=index):
            return (base, index)
        case File(path=path):
            return (path,)
        case Not(operand=operand) | Negative(operand=operand) | Test(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
