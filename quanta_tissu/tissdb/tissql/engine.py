"""What lowering needs of an engine's SQL, and the form that values have in it.

A value is a rank (its kind as a number, see `meaning`) and a payload of one or more columns, in which values of
one kind compare as they do in `meaning`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quanta_tissu.tissdb import meaning
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Path
from quanta_tissu.tissdb.values import Value

FALSE, TRUE = "1 = 0", "1 = 1"

MOMENT = -1
"""The slot of the statement's moment in microseconds."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """A value in SQL.

    Attributes:
        kind: Its kind if it is known (it may still be null), None if it depends on the document.
        rank: SQL of its kind's number.
        payload: SQL of its payload; null for null.
        guard: SQL that says whether it is of a kind, and not null.
        shown: SQL of its JSON text, where that is cheaper than rank and payload.
        raw: SQL of it as the engine's own JSON, where there is such a thing.
        present: It is known not to be null.
        after: SQL that says of a value that compares with one of a kind whether it is of this kind, where that is
            less to ask than `guard`.
    """

    kind: int | None
    rank: str
    payload: tuple[str, ...]
    guard: Callable[[int], str]
    shown: str | None = None
    raw: str | None = None
    present: bool = False
    after: Callable[[int], str] | None = None

    def compared(self, kind: int) -> str:
        """SQL that says whether it is of a kind, once its payload has compared with one of this kind."""
        return (self.after or self.guard)(kind)


def known(kind: int, present: str, payload: tuple[str, ...]) -> Lowered:
    """A value of one kind, or null: `present` is the SQL of what is null in that case."""
    return Lowered(
        kind,
        f"CASE WHEN {present} IS NULL THEN 0 ELSE {kind} END",
        payload,
        lambda asked: f"{present} IS NOT NULL" if asked == kind else FALSE,
    )


def chosen(branches: Sequence[tuple[str, Lowered]], otherwise: Lowered) -> Lowered:
    """The value of the first condition that holds, or another."""
    if not branches:
        return otherwise
    values = [*(value for _, value in branches), otherwise]

    def case(parts: Sequence[str]) -> str:
        cases = " ".join(f"WHEN {when} THEN {part}" for (when, _), part in zip(branches, parts, strict=False))
        return f"(CASE {cases} ELSE {parts[-1]} END)"

    kinds = {value.kind for value in values} - {meaning.NULL}
    rank = case([value.rank for value in values])
    payload = tuple(map(case, zip(*(value.payload for value in values), strict=True)))
    kind = kinds.pop() if len(kinds) == 1 else None
    return Lowered(kind, rank, payload, lambda asked: f"{rank} = {asked}")


def slot(number: int | str, facet: str) -> str:
    """The place of a constant in SQL: `facet` says in which form the engine wants it."""
    return f"\0{number}:{facet}\0"


class Engine(Protocol):
    """One engine's SQL."""

    @property
    def width(self) -> int:
        """Columns of a payload."""

    def bind(self, value: Value, facet: str) -> Any:
        """A constant as the engine's driver takes it."""

    def decode(self, columns: Sequence[Any]) -> Value:
        """A value from its rank and payload."""

    def null(self) -> Lowered:
        """Null."""

    def constant(self, number: str, kind: int) -> Lowered:
        """The constant of a slot."""

    def field(self, alias: str, path: Path, indexed: bool) -> Lowered:
        """What stands at a path, of which there may be an index."""

    def exists(self, alias: str, path: Path) -> str:
        """Whether there is something."""

    def text(self, sql: str) -> Lowered:
        """A column of text."""

    def number(self, sql: str) -> Lowered:
        """Any number, null for null."""

    def score(self, sql: str) -> Lowered:
        """A column of scores, which are floats."""

    def moment(self, sql: str) -> Lowered:
        """A column of microseconds, as a datetime."""

    def columns(self, names: Sequence[str]) -> Lowered:
        """A value whose rank and payload are columns."""

    def compare(self, operator: str, left: Lowered, right: Lowered) -> str:
        """Whether the payloads compare so, of two values of which a guard says that they are of one kind."""

    def among(self, value: Lowered, others: Sequence[Lowered], negated: bool) -> str:
        """Whether a payload is one of others, or none of them; all are of one kind."""

    def is_null(self, value: Lowered, negated: bool) -> str:
        """Whether a value is null, or is not."""

    def like(self, payload: tuple[str, ...], number: str, escape: str, negated: bool) -> str:
        """Whether text is of the pattern in a slot."""

    def sort_key(self, value: Lowered) -> tuple[str, ...]:
        """By what to sort values."""

    def numeric(self, value: Lowered) -> str:
        """The number that a value is, null if it is none."""

    def arithmetic(self, operator: str, left: str, right: str) -> str:
        """Of two numbers."""

    def whole(self, value: Lowered) -> Lowered:
        """A value, whole numbers as integers."""

    def extract(self, part: str, value: Lowered) -> Lowered:
        """A part of a point in time."""

    def shift(self, value: Lowered, months: int, microseconds: int) -> Lowered:
        """A point in time, moved."""

    def text_function(self, function: str, value: Lowered) -> Lowered:
        """LOWER, UPPER or LENGTH; the former two of A to Z."""

    def concatenation(self, left: Lowered, right: Lowered) -> Lowered:
        """Of two strings."""

    def aggregate(self, function: str, value: Lowered) -> Lowered:
        """SUM, AVG, STDDEV, MIN or MAX."""

    def count(self, value: Lowered, distinct: bool) -> Lowered:
        """COUNT."""

    def explain(self, connection: Connection, sql: str, parameters: Sequence[Any]) -> list[str]:
        """How the engine would run a query, in its own words and names."""

    def scores(self) -> str:
        """A table (rid, score) of the pairs in a JSON text, whose place is one parameter."""


def comparison(engine: Engine, operator: str, left: Lowered, right: Lowered) -> str:
    """A comparison that is true or not, and never so between values of different kinds."""
    if left.kind is not None and right.kind is not None:
        if left.kind != right.kind or left.kind not in meaning.COMPARED:
            return FALSE
        return engine.compare(operator, left, right)
    if left.kind is None and right.kind is None:
        test = engine.compare(operator, left, right)
        low, high = meaning.COMPARED[0], meaning.COMPARED[-1]
        return f"({test} AND {left.rank} = {right.rank} AND {left.rank} BETWEEN {low} AND {high})"
    kind, loose = (right.kind, left) if left.kind is None else (left.kind, right)
    if kind is None or kind not in meaning.COMPARED:
        return FALSE
    return f"({engine.compare(operator, left, right)} AND {loose.compared(kind)})"
