"""What may come where a text ends: the parser notes it when it gets there, and editors propose it.

What is noted is taken from the table of commands wherever that says it: `Inside` where a statement may start, a
`Word` of a command, a `NameOf` that it takes. The rest is `Wanted`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from quanta_tissu.tisslang.syntax.expressions import Expression
from quanta_tissu.tisslang.syntax.shapes import Inside, NameOf, Word


class Want(Enum):
    """What is wanted where the table does not say it."""

    VALUE = "a value"
    OPERATOR = "an operator"
    FIELD = "the name of a field"
    TITLE = "a text in quotes"
    SETTING = "the value of a directive"
    BLOCK = "a block"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something that is wanted.

    Attributes:
        what: It.
        of: The value whose field it is; the name of the directive; the command of the title.
    """

    what: Want
    of: Expression | str | None = None


Offer = Inside | Word | NameOf | Wanted
