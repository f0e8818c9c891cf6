"""Expressions and conditions of sqlglot's syntax tree as ours."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlglot import exp

from quanta_tissu.errors import InvalidDocumentError, QueryError
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.check import walk
from quanta_tissu.tissdb.values import plain

MAX_ITEMS = 1_000
"""Of a list: values, columns, rows, conditions joined by AND."""

MAX_EXPRESSION_DEPTH = 100

_ARITHMETIC: dict[type[exp.Expr], Any] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}

_AGGREGATES: dict[type[exp.Expr], Any] = {
    exp.Count: "count",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
    exp.Stddev: "stddev",
}

_TEXT_FUNCTIONS: dict[type[exp.Expr], Any] = {exp.Lower: "lower", exp.Upper: "upper", exp.Length: "length"}

_MAX_CHOICES = 3
"""CASE and COALESCE in one another."""

_UNITS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
    "WEEK": 7 * 86_400_000_000,
}
_MAX_INTERVALS = 4
"""That are added one after the other: each doubles the SQL."""

_LONGEST = 3_720_000 * _UNITS["DAY"]

_MONTHS = {"MONTH": 1, "YEAR": 12}

_PARTS = ("year", "month", "day", "hour", "minute", "second")


def span_of(node: exp.Expr) -> ir.Span:
    """Where the words of a node stand, as far as sqlglot has noted it."""
    places = [(one.meta["start"], one.meta["end"] + 1) for one in node.walk() if "start" in one.meta]
    if not places:
        parent = node.parent
        return (0, 0) if parent is None else span_of(parent)
    return min(start for start, _ in places), max(end for _, end in places)


def fail(text: str, place: exp.Expr | ir.Span, message: str, hint: str | None = None) -> QueryError:
    """An error at a place."""
    start, end = place if isinstance(place, tuple) else span_of(place)
    return QueryError(message, statement=text, start=start, end=end, hint=hint)


class Reader:
    """Reads expressions of one statement.

    Args:
        text: The statement.
        marks: Where its `?` stand, in order.
    """

    def __init__(self, text: str, marks: Sequence[int]) -> None:
        self.text = text
        self.marks = list(marks)
        self.sources: list[ir.Source] = []
        self.aliases: dict[str, ir.Expression] = {}
        self.parameter_keys: set[int | str] = set()
        self._depth = self._choices = 0
        self._aggregates: list[ir.Span] = []

    def only(self, node: exp.Expr, *names: str) -> None:
        """Refuse a node that says more than what is read of it: nothing may be dropped in silence."""
        for name, value in node.args.items():
            if name not in names and value not in (None, False, [], ""):
                place = value if isinstance(value, exp.Expr) else node
                word = name.rstrip("_").replace("_", " ").upper()
                raise fail(
                    self.text, place, f"{word} is not supported here", "see docs/tissql.md for the language"
                )

    def single(self, node: exp.Expr, name: str) -> exp.Expr:
        """The one thing that a node says."""
        self.only(node, name)
        found = node.args.get(name)
        if not isinstance(found, exp.Expr):
            raise fail(self.text, node, "something is missing here", "see docs/tissql.md for the language")
        return found

    def limited(self, node: exp.Expr, items: Sequence[Any]) -> Sequence[Any]:
        """A list that is not too long."""
        if len(items) > MAX_ITEMS:
            raise fail(
                self.text, node, f"a list of {len(items):,}; the limit is {MAX_ITEMS:,}", "ask in several queries"
            )
        return items

    def refuse_aggregates(self, where: str) -> None:
        """Refuse COUNT and the like, if there were any."""
        if self._aggregates:
            raise fail(self.text, self._aggregates[0], f"there is no aggregate in {where}", "SELECT has them")

    def constant(self, node: exp.Expr) -> ir.Expression:
        """An expression without fields."""
        value = self.expression(node)
        for part in walk(value):
            if isinstance(part, ir.FieldOf | ir.MetaOf | ir.Aggregate | ir.Score):
                raise fail(
                    self.text, node, "only values can stand here", "text in quotes: 'like this'; or ? or :name"
                )
        return value

    def key(self, node: exp.Expr) -> str:
        """A name in a path."""
        name = node.name
        if not isinstance(node, exp.Identifier) or not name:
            raise fail(self.text, node, "this is no name of a field", 'as in: title, author."last name", tags[0]')
        if name.startswith("$"):
            raise fail(
                self.text, node, "names of fields do not begin with $", "times and bytes compare as they are"
            )
        return name

    def expression(self, node: exp.Expr) -> ir.Expression:
        """What a node says, as a value."""
        self._depth += 1
        if self._depth > MAX_EXPRESSION_DEPTH:
            raise fail(
                self.text,
                node,
                f"an expression nested more than {MAX_EXPRESSION_DEPTH} levels deep",
                "simplify it",
            )
        try:
            read = self._READERS.get(type(node))
            if read is None:
                start, end = span_of(node)
                written = self.text[start:end] or "this"
                raise fail(
                    self.text,
                    node,
                    f"{written[:40]} is no expression of TissQL",
                    "a name that is also a word of SQL goes in double quotes; see docs/tissql.md for the language",
                )
            return read(self, node)
        finally:
            self._depth -= 1

    def _paren(self, node: exp.Paren) -> ir.Expression:
        return self.expression(self.single(node, "this"))

    def _literal(self, node: exp.Literal) -> ir.Expression:
        self.only(node, "this", "is_string")
        if node.is_string:
            return self._checked(node, str(node.this))
        written = str(node.this)
        try:
            value: int | float = int(written) if re.fullmatch(r"\d+", written) else float(written)
        except ValueError:
            raise fail(self.text, node, f"{written[:40]} is no number", "as in: 12, 0.5, 1e-3") from None
        # The most negative number is written as minus a number that is one too large.
        if value == 2**63 and isinstance(node.parent, exp.Neg) and isinstance(value, int):
            return ir.Constant(value, "int")
        return self._checked(node, value)

    def _checked(self, node: exp.Expr, value: Any) -> ir.Constant:
        try:
            plain(value)
        except InvalidDocumentError as error:
            raise fail(self.text, node, error.message.replace("the value", "this"), error.hint) from None
        except OverflowError:
            raise fail(self.text, node, "this is before the year 1 or after 9999 in UTC") from None
        return ir.Constant(value, type(value).__name__)

    def _negative(self, node: exp.Neg) -> ir.Expression:
        operand = self.expression(self.single(node, "this"))
        # The negative of the least integer is none: it becomes a float, as everywhere.
        if isinstance(operand, ir.Constant) and operand.kind in ("int", "float") and operand.value != -(2**63):
            return self._checked(node, -operand.value)
        return ir.Negative(operand)

    def _boolean(self, node: exp.Boolean) -> ir.Expression:
        self.only(node, "this")
        return ir.Constant(bool(node.this), "bool")

    def _null(self, node: exp.Null) -> ir.Expression:
        return ir.Constant(None, "NoneType")

    def _placeholder(self, node: exp.Placeholder) -> ir.Expression:
        self.only(node, "this")
        span = span_of(node)
        key: int | str = self.marks.index(span[0]) if node.this is None else str(node.this)
        self.parameter_keys.add(key)
        return ir.Parameter(key, span)

    def _list(self, node: exp.Array) -> ir.Expression:
        self.only(node, "expressions")
        return ir.ListOf(tuple(self.constant(item) for item in self.limited(node, node.expressions)))

    def _object(self, node: exp.Struct) -> ir.Expression:
        self.only(node, "expressions")
        items: dict[str, ir.Expression] = {}
        for item in self.limited(node, node.expressions):
            if not isinstance(item, exp.PropertyEQ):
                raise fail(self.text, item, "this is no field of an object", "{'title': '...'}")
            self.only(item, "this", "expression")
            name = str(item.this.name)
            if name in items:
                raise fail(self.text, item, f"{name!r} is there twice", "name it once")
            items[name] = self.constant(item.expression)
        return ir.ObjectOf(tuple(items.items()))

    def _cast(self, node: exp.Cast) -> ir.Expression:
        self.only(node, "this", "to")
        name = str(getattr(node.to.this, "value", node.to.this)).upper()
        readers: dict[str, Callable[[str], Any]] = {
            "DATE": dt.date.fromisoformat,
            "TIME": dt.time.fromisoformat,
            "TIMESTAMP": _datetime,
            "TIMESTAMPTZ": _datetime,
            "DATETIME": _datetime,
        }
        if name not in readers or not isinstance(node.this, exp.Literal) or not node.this.is_string:
            raise fail(
                self.text, node, "values are not converted", "TIMESTAMP '...', DATE '...' and TIME '...' are known"
            )
        try:
            return self._checked(node, readers[name](str(node.this.this)))
        except ValueError:
            raise fail(
                self.text,
                node,
                f"{str(node.this.this)[:40]!r} is no {name.lower()}",
                "TIMESTAMP '2026-11-22T09:30:00Z', DATE '2026-11-22', TIME '09:30:00'",
            ) from None

    def _now(self, node: exp.Expr) -> ir.Expression:
        self.only(node)
        return ir.Now()

    def _interval(self, node: exp.Interval) -> tuple[int, int]:
        self.only(node, "this", "unit")
        unit = str(node.args["unit"].name).upper() if node.args.get("unit") is not None else ""
        unit = unit.removesuffix("S")
        amount = node.this
        sign = 1
        if isinstance(amount, exp.Neg):
            amount, sign = amount.this, -1
        written = str(amount.this) if isinstance(amount, exp.Literal) else ""
        if not re.fullmatch(r"-?\d{1,9}", written) or not (unit in _UNITS or unit in _MONTHS):
            raise fail(
                self.text, node, "this is no interval", "INTERVAL '3 days', in years, months, weeks ... seconds"
            )
        number = sign * int(written)
        if abs(number) * (_MONTHS.get(unit, 0) * 31 * _UNITS["DAY"] + _UNITS.get(unit, 0)) > _LONGEST:
            raise fail(self.text, node, "this interval is longer than 10,000 years", "shorter ones are known")
        return number * _MONTHS.get(unit, 0), number * _UNITS.get(unit, 0)

    def _arithmetic(self, node: exp.Binary) -> ir.Expression:
        self.only(node, "this", "expression", "typed", "safe")
        left, right = node.this, node.expression
        chain, at = 0, node
        while isinstance(at, exp.Add | exp.Sub) and isinstance(at.expression, exp.Interval):
            chain, at = chain + 1, at.this
            while isinstance(at, exp.Paren):
                at = at.this
        if chain > _MAX_INTERVALS:
            raise fail(self.text, node, f"more than {_MAX_INTERVALS} intervals in a row", "add them up")
        if isinstance(right, exp.Interval) and isinstance(node, exp.Add | exp.Sub):
            months, microseconds = self._interval(right)
            sign = 1 if isinstance(node, exp.Add) else -1
            return ir.Shift(self.expression(left), sign * months, sign * microseconds, span_of(node))
        if isinstance(left, exp.Interval) and isinstance(node, exp.Add):
            return ir.Shift(self.expression(right), *self._interval(left), span_of(node))
        return ir.Arithmetic(_ARITHMETIC[type(node)], self.expression(left), self.expression(right))

    def _extract(self, node: exp.Extract) -> ir.Expression:
        self.only(node, "this", "expression")
        part = str(node.this.name).lower()
        if part not in _PARTS:
            raise fail(self.text, node, f"{part!r} is no part of a point in time", f"one of {', '.join(_PARTS)}")
        return ir.Extract(part, self.expression(node.expression))  # type: ignore[arg-type]

    def _text_function(self, node: exp.Expr) -> ir.Expression:
        return ir.TextFunction(_TEXT_FUNCTIONS[type(node)], self.expression(self.single(node, "this")))

    def _concatenation(self, node: exp.DPipe) -> ir.Expression:
        self.only(node, "this", "expression", "safe")
        return ir.Concatenation(self.expression(node.this), self.expression(node.expression))

    def _coalesce(self, node: exp.Coalesce) -> ir.Expression:
        self.only(node, "this", "expressions")
        with self.choosing(node):
            items = self.limited(node, [node.this, *node.expressions])
            return ir.Coalesce(tuple(self.expression(item) for item in items))

    @contextmanager
    def choosing(self, node: exp.Expr) -> Iterator[None]:
        """Inside CASE or COALESCE, of which each in another makes the SQL several times as long."""
        self._choices += 1
        if self._choices > _MAX_CHOICES:
            raise fail(
                self.text, node, f"CASE and COALESCE nested more than {_MAX_CHOICES} levels deep", "simplify it"
            )
        try:
            yield
        finally:
            self._choices -= 1

    def _aggregate(self, node: exp.Expr) -> ir.Expression:
        self.only(node, "this", "big_int")
        operand, distinct = node.this, False
        function = _AGGREGATES[type(node)]
        span = span_of(node)
        self._aggregates.append(span)
        if operand is None:
            raise fail(self.text, node, f"{function.upper()} of what?", "COUNT(*), COUNT(a), SUM(a) ...")
        if isinstance(operand, exp.Star) and function == "count":
            self.only(operand)
            return ir.Aggregate("count", None, False, span)
        if isinstance(operand, exp.Distinct):
            self.only(operand, "expressions")
            if function != "count" or len(operand.expressions) != 1:
                raise fail(self.text, node, "DISTINCT stands in COUNT, with one expression", "COUNT(DISTINCT a)")
            operand, distinct = operand.expressions[0], True
        aliases, self.aliases = self.aliases, {}  # SUM(x) AS x ... ORDER BY SUM(x): x is the field
        value = self.expression(operand)
        self.aliases = aliases
        if any(isinstance(part, ir.Aggregate) for part in walk(value)):
            raise fail(self.text, node, "an aggregate of an aggregate", "ask in two queries")
        return ir.Aggregate(function, value, distinct, span)

    def _function(self, node: exp.Anonymous) -> ir.Expression:
        name = str(node.this).upper()
        if name == "NOW" and not node.expressions:
            return ir.Now()
        if name == "SCORE" and len(node.expressions) <= 1:
            if not node.expressions:
                return ir.Score("", span_of(node))
            given = node.expressions[0]
            source = f"{given.table}." if isinstance(given, exp.Column) and given.table else ""
            return ir.Score(source + self._index_name(given), span_of(node))
        if name in ("MATCH", "NEAR"):
            raise fail(self.text, node, f"{name} is a condition", "in WHERE, joined to others by AND")
        raise fail(
            self.text,
            node,
            f"there is no function {name[:40]} of this kind",
            "COUNT, SUM, AVG, MIN, MAX, STDDEV, EXTRACT, NOW, SCORE, COALESCE, LOWER, UPPER, LENGTH",
        )

    def _index_name(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
            self.only(node, "this", "table")
            return node.name
        if isinstance(node, exp.Literal) and node.is_string:
            return str(node.this)
        raise fail(
            self.text, node, "this is no name of an index", "MATCH(body, 'words'), if the index is called body"
        )

    def _path(self, node: exp.Expr) -> ir.Expression:
        steps: list[str | int] = []
        names: list[exp.Expr] = []
        at: Any = node
        while not isinstance(at, exp.Column):
            if isinstance(at, exp.Dot):
                self.only(at, "this", "expression")
                steps.append(self.key(at.expression))
                at = at.this
            elif isinstance(at, exp.Bracket):
                self.only(at, "this", "expressions")
                place = at.expressions[0] if len(at.expressions) == 1 else None
                if (
                    not isinstance(place, exp.Literal)
                    or not re.fullmatch(r"\d{1,6}", str(place.this))
                    or place.is_string
                ):
                    raise fail(
                        self.text, at, "a place in a list is a number from 0", "tags[0]; keys are written a.b"
                    )
                steps.append(int(place.this))
                at = at.this
            else:
                raise fail(self.text, node, "this is no path", 'as in: title, author."last name", tags[0]')
        self.only(at, "this", "table", "db", "catalog")
        names = [at.args[name] for name in ("this", "table", "db", "catalog") if at.args.get(name) is not None]
        steps += [self.key(name) for name in names]
        steps.reverse()
        return self._resolved(node, steps)

    def _resolved(self, node: exp.Expr, steps: list[str | int]) -> ir.Expression:
        """Of which source a path is: of the one that its first name says, or of the only one."""
        span = span_of(node)
        first = str(steps[0])
        if len(steps) == 1 and first in self.aliases and first not in ir.META:
            return self.aliases[first]
        named = [one for one in self.sources if one.alias == first]
        if named and len(steps) > 1:
            source, steps = named[0], steps[1:]
        elif len(self.sources) == 1:
            source = self.sources[0]
        elif not self.sources:
            raise fail(self.text, node, "only values can stand here", "text in quotes: 'like this'; or ? or :name")
        else:
            known = ", ".join(one.alias for one in self.sources)
            raise fail(self.text, node, "of which collection is this?", f"begin with one of: {known}")
        if isinstance(steps[0], int):
            raise fail(self.text, node, "a path begins with the name of a field", "tags[0]")
        if steps[0] in ir.META:
            if len(steps) > 1:
                raise fail(self.text, node, f"{steps[0]} has no fields", f"write {steps[0]} alone")
            return ir.MetaOf(source.alias, str(steps[0]), span)
        return ir.FieldOf(source.alias, tuple(steps), span)

    _READERS: dict[type[exp.Expr], Callable[[Any, Any], ir.Expression]] = {  # noqa: RUF012
        exp.Paren: _paren,
        exp.Literal: _literal,
        exp.Neg: _negative,
        exp.Boolean: _boolean,
        exp.Null: _null,
        exp.Placeholder: _placeholder,
        exp.Array: _list,
        exp.Struct: _object,
        exp.Cast: _cast,
        exp.CurrentTimestamp: _now,
        exp.Extract: _extract,
        exp.DPipe: _concatenation,
        exp.Coalesce: _coalesce,
        exp.Anonymous: _function,
        exp.Column: _path,
        exp.Dot: _path,
        exp.Bracket: _path,
        **dict.fromkeys(_ARITHMETIC, _arithmetic),
        **dict.fromkeys(_AGGREGATES, _aggregate),
        **dict.fromkeys(_TEXT_FUNCTIONS, _text_function),
    }


def _datetime(text: str) -> dt.datetime:
    """Of ISO text; UTC if it names no zone."""
    value = dt.datetime.fromisoformat(text)
    return value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
