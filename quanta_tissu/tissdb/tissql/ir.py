"""Statements of TissQL after parsing: what they say, without how it was written.

Conditions are in negation normal form: NOT has been pushed down to the comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from quanta_tissu.tissdb.definitions import Path
from quanta_tissu.tissdb.values import Value

Span = tuple[int, int]
"""Where in the text something stands: its first character, and the one after its last."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that was written: None, bool, int, float, str, date, time or datetime.

    Attributes:
        value: The value.
        kind: Its type's name, because Python holds `1`, `1.0` and `True` to be equal.
    """

    value: Value
    kind: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that comes with the call: by its place from 0, or by its name."""

    key: int | str
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[x, y]`, of constants."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """`{'key': x}`, of constants."""

    items: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class FieldOf:
    """What stands at a path of a document of a source; an empty path is the document."""

    source: str
    path: Path
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class MetaOf:
    """`_id`, `_rev`, `_created`, `_updated` or `_expires` of a document of a source."""

    source: str
    name: str
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Now:
    """The moment at which the statement runs."""


@dataclass(frozen=True, slots=True)
class Negative:
    """`-x`."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left + right` and the like, of numbers."""

    operator: Literal["+", "-", "*", "/"]
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Shift:
    """A point in time, moved by an interval.

    Attributes:
        operand: A date, time or datetime.
        months: By how many months; a day that the month has not becomes its last.
        microseconds: And then by how many microseconds.
    """

    operand: Expression
    months: int
    microseconds: int
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Extract:
    """A part of a point in time, as a whole number."""

    part: Literal["year", "month", "day", "hour", "minute", "second"]
    operand: Expression


@dataclass(frozen=True, slots=True)
class TextFunction:
    """LOWER, UPPER or LENGTH of a string."""

    function: Literal["lower", "upper", "length"]
    operand: Expression


@dataclass(frozen=True, slots=True)
class Concatenation:
    """`left || right`, of strings."""

    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Coalesce:
    """The first that is not null."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """CASE: the value of the first condition that holds, or another."""

    branches: tuple[tuple[Condition, Expression], ...]
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`COUNT(*)` (no operand), and the other functions of many rows."""

    function: Literal["count", "sum", "avg", "min", "max", "stddev"]
    operand: Expression | None
    distinct: bool = False
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Score:
    """How well a document suits MATCH or NEAR.

    Attributes:
        index: What was written: nothing, an index, or an index with its collection.
        leg: The condition that is meant.
    """

    index: str
    span: Span = field(default=(0, 0), compare=False)
    leg: Match | Near | None = None


Expression = (
    Constant
    | Parameter
    | ListOf
    | ObjectOf
    | FieldOf
    | MetaOf
    | Now
    | Negative
    | Arithmetic
    | Shift
    | Extract
    | TextFunction
    | Concatenation
    | Coalesce
    | Case
    | Aggregate
    | Score
)

Comparison = Literal["=", "<>", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Truth:
    """TRUE or FALSE as a condition."""

    value: bool


@dataclass(frozen=True, slots=True)
class All:
    """Conditions joined by AND."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Conditions joined by OR."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """`left = right` and the like: false between values of different kinds."""

    operator: Comparison
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Like:
    """Text of a pattern, in which % is any text and _ any character."""

    operand: Expression
    pattern: Expression
    escape: str
    negated: bool
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class In:
    """Equal to one of some values; negated: different from every one. A parameter may hold several."""

    operand: Expression
    items: tuple[Expression, ...]
    negated: bool
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class IsNull:
    """Null or missing."""

    operand: Expression
    negated: bool


@dataclass(frozen=True, slots=True)
class Exists:
    """There is something at a path, be it null."""

    operand: FieldOf
    negated: bool


@dataclass(frozen=True, slots=True)
class Match:
    """Words are found by a text index, or, negated, are not.

    Attributes:
        index: The index.
        words: What to look for.
        source: Of which collection.
        negated: Documents that are not found.
        must: Joined to all else by AND, so that no other documents are in the result.
    """

    index: str
    words: Expression
    source: str
    negated: bool
    must: bool
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Near:
    """Among the k nearest to a vector, by a vector index."""

    index: str
    vector: Expression
    k: Expression
    source: str
    span: Span = field(default=(0, 0), compare=False)


Condition = Truth | All | Some | Compare | Like | In | IsNull | Exists | Match | Near


@dataclass(frozen=True, slots=True)
class Source:
    """A collection in FROM, and the name by which the statement calls it."""

    collection: str
    alias: str
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Join:
    """Another source; `outer` keeps rows of those before it for which it has none."""

    source: Source
    outer: bool
    on: tuple[Compare, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the result; `*` is `_id` and all fields, so it has a name for each."""

    name: str
    value: Expression | None
    """None for `*`."""


@dataclass(frozen=True, slots=True)
class Order:
    """By what to sort."""

    value: Expression
    descending: bool


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT. Rows are grouped if `groups` is not None."""

    columns: tuple[Column, ...]
    source: Source
    joins: tuple[Join, ...] = ()
    where: Condition | None = None
    groups: tuple[Expression, ...] | None = None
    having: Condition | None = None
    distinct: bool = False
    order: tuple[Order, ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """All sources, in order."""
        return (self.source, *(join.source for join in self.joins))


@dataclass(frozen=True, slots=True)
class Union:
    """Rows of two queries; each row once unless `all`. `order` sorts by columns, numbered from 0."""

    left: Query
    right: Query
    all: bool
    order: tuple[tuple[int, bool], ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None


Query = Select | Union


@dataclass(frozen=True, slots=True)
class Insert:
    """INSERT: a path for each value of a row; `_id` and `_expires` among them set what they are called."""

    collection: str
    paths: tuple[Path, ...]
    rows: tuple[tuple[Expression, ...], ...]
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Update:
    """UPDATE."""

    source: Source
    changes: tuple[tuple[Path, Expression], ...]
    where: Condition | None


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE."""

    source: Source
    where: Condition | None


Statement = Select | Union | Insert | Update | Delete

META = {
    "_id": "string",
    "_rev": "number",
    "_created": "datetime",
    "_updated": "datetime",
    "_expires": "datetime",
}
"""What the database keeps of a document beside its fields, and of what kind it is."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A statement with what was written around it.

    Attributes:
        text: As it was written.
        statement: What it says.
        explain: Whether it is to be explained instead of run.
        parameters: Keys of its parameters: places from 0, or names.
    """

    text: str
    statement: Statement
    explain: bool
    parameters: tuple[int | str, ...]
