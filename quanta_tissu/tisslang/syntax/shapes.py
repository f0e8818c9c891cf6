"""How a command is written, as data: the parser, the grammars and the documents are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from quanta_tissu.tisslang.syntax.statements import Statement


class Inside(Enum):
    """What a statement stands in, which decides whether it may."""

    FILE = "a file"
    STEPS = "a task"
    COMMANDS = "a step"
    PARALLEL = "PARALLEL"
    CHOOSE = "CHOOSE"


class EffectClass(Enum):
    """What a command does to the world, which decides what happens when its fate is not known."""

    PURE = "nothing outside the script"
    READ = "reads files or documents"
    WRITE = "writes files; doing it again changes nothing"
    RUN = "runs a command of the system"
    MODEL = "asks a model"
    HUMAN = "asks a person"
    DATABASE = "changes documents"


@dataclass(frozen=True, slots=True)
class Word:
    """A word that stands there as it is."""

    text: str
    next_line: bool = False
    """Whether it may come on a later line than what is before it."""


@dataclass(frozen=True, slots=True)
class Value:
    """An expression."""

    field: str
    what: str
    long: bool = False
    """Whether it is often a text of several lines."""


@dataclass(frozen=True, slots=True)
class NameOf:
    """A name."""

    field: str
    what: str
    defines: bool = False
    """Whether it becomes the name of a variable."""
    among: tuple[str, ...] = ()
    """The words that it may be; none: the name of a variable."""


@dataclass(frozen=True, slots=True)
class Title:
    """A string."""

    field: str
    what: str


@dataclass(frozen=True, slots=True)
class Sign:
    """A symbol."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """Statements in braces.

    Attributes:
        field: Its name.
        inside: What they stand in; None: the same as the command itself.
    """

    field: str
    inside: Inside | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """Names in parentheses, separated by commas; without any, the parentheses may be left out."""

    field: str
    what: str


@dataclass(frozen=True, slots=True)
class Values:
    """Expressions in parentheses, separated by commas; without any, the parentheses may be left out."""

    field: str
    what: str


@dataclass(frozen=True, slots=True)
class Maybe:
    """Parts that may be left out together; the first of them tells whether they are there."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """Parts that may come any number of times."""

    field: str
    make: Callable[..., Statement]
    parts: tuple[Part, ...]


Part = Word | Sign | Value | NameOf | Title | Block | Names | Values | Maybe | Many


@dataclass(frozen=True, slots=True)
class Command:
    """A command or a block of the language.

    Attributes:
        keyword: Its first word.
        make: Builds the statement; takes `span`, `keyword` and the fields of its parts.
        parts: What comes after the keyword.
        summary: What it does, in a sentence.
        where: What it may stand in.
        effect: What it does to the world.
        example: How it is used, a few lines.
        since: The version of the language that has it first.
    """

    keyword: str
    make: Callable[..., Statement]
    parts: tuple[Part, ...]
    summary: str
    where: frozenset[Inside]
    example: str
    effect: EffectClass = EffectClass.PURE
    since: str = "1.0"
    fields: dict[str, Any] = field(init=False, repr=False, compare=False)
    block: Block | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", dict(_empty_fields(self.parts)))
        object.__setattr__(self, "block", next((part for part in self.parts if isinstance(part, Block)), None))


def _empty_fields(parts: tuple[Part, ...]) -> list[tuple[str, Any]]:
    """Every field of a command, with what it is when nothing is written."""
    found: list[tuple[str, Any]] = []
    for part in parts:
        match part:
            case Word() | Sign():
                pass
            case Maybe(parts=inner):
                found += _empty_fields(inner)
            case Names(field=name) | Values(field=name) | Many(field=name):
                found.append((name, ()))
            case Value(field=name) | NameOf(field=name) | Title(field=name) | Block(field=name):
                found.append((name, None))
    return found
