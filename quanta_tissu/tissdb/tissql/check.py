"""What a statement must keep to beyond its grammar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

from quanta_tissu.errors import QueryError
from quanta_tissu.tissdb.tissql import ir

MAX_COLUMNS = 200
"""Of a result, and of what rows are grouped or sorted by, and aggregates."""


def check_select(text: str, select: ir.Select, span: ir.Span) -> ir.Select:
    """A SELECT whose aggregates, groups and scores fit together.

    Returns:
        The same, with groups if there are aggregates, and scores by the name of their index.

    Raises:
        QueryError: They do not.
    """
    for name, items in (("columns", select.columns), ("groups", select.groups or ()), ("sort keys", select.order)):
        if len(items) > MAX_COLUMNS:
            raise _error(text, span, f"{len(items)} {name}; the limit is {MAX_COLUMNS}", "ask in several queries")
    outputs = [column.value for column in select.columns if column.value is not None]
    outputs += [item.value for item in select.order]
    for where in (select.where, [join.on for join in select.joins], select.groups):
        for part in walk(where):
            if isinstance(part, ir.Aggregate):
                raise _error(
                    text,
                    part.span,
                    "there is no aggregate in WHERE, ON and GROUP BY",
                    "conditions of groups go to HAVING",
                )
            if isinstance(part, ir.Score):
                raise _error(text, part.span, "SCORE stands in SELECT and ORDER BY", "leave it out")
    grouped = (
        select.groups is not None
        or select.having is not None
        or any(isinstance(part, ir.Aggregate) for part in walk(outputs))
    )
    if grouped:
        select = replace(select, groups=select.groups or ())
        _check_grouped(text, select, outputs, span)
        aggregates = {part for part in walk((outputs, select.having)) if isinstance(part, ir.Aggregate)}
        if len(aggregates) > MAX_COLUMNS:
            raise _error(
                text, span, f"{len(aggregates)} aggregates; the limit is {MAX_COLUMNS}", "ask in several queries"
            )
    if select.distinct:
        if any(column.value is None for column in select.columns):
            raise _error(
                text, span, "DISTINCT * would be * itself", "every document has another _id: name the fields"
            )
        for item in select.order:
            if item.value not in outputs[: len(select.columns)]:
                raise _error(
                    text,
                    _span_in(item.value, span),
                    "with DISTINCT, rows are sorted by what is selected",
                    "select it, too",
                )
    return _with_scores(text, select, grouped)


def check_union(text: str, left: ir.Query, right: ir.Query, span: ir.Span) -> list[str]:
    """The names of a union's columns, which are those of its first query.

    Raises:
        QueryError: The queries have different columns.
    """
    names, others = columns_of(left), columns_of(right)
    if "*" in names or "*" in others:
        raise _error(text, span, "a union cannot have *", "name the fields")
    if len(names) != len(others):
        raise _error(
            text,
            span,
            f"this has {len(others)} columns, the query before it {len(names)}",
            "select as many columns",
        )
    return names


def columns_of(query: ir.Query) -> list[str]:
    """Names of a query's columns."""
    if isinstance(query, ir.Union):
        return columns_of(query.left)
    return [column.name for column in query.columns]


def star_of(query: ir.Query) -> int | None:
    """The place of `*` among its columns."""
    if isinstance(query, ir.Union):
        return None
    return next((place for place, column in enumerate(query.columns) if column.value is None), None)


def walk(value: Any) -> Iterator[Any]:
    """A thing of ours and every other one in it, in the order in which they stand."""
    pending = [value]
    while pending:
        one = pending.pop()
        yield one
        if isinstance(one, tuple | list):
            pending += one[::-1]
        else:
            kind: type = type(one)
            pending += [getattr(one, name) for name in reversed(parts_of(kind))]


@cache
def parts_of(kind: type) -> tuple[str, ...]:
    """The fields of a thing of ours in which there may be more than text and numbers."""
    if not is_dataclass(kind):
        return ()
    return tuple(one.name for one in fields(kind) if one.type not in ("Span", "str", "int", "bool"))


def legs_of(condition: ir.Condition | None) -> list[ir.Match | ir.Near]:
    """MATCH and NEAR of a WHERE, each once: first those that search for words."""
    found = dict.fromkeys(part for part in walk(condition) if isinstance(part, ir.Match | ir.Near))
    return sorted(found, key=lambda leg: isinstance(leg, ir.Near))


def _check_grouped(text: str, select: ir.Select, outputs: list[ir.Expression], span: ir.Span) -> None:
    for column in select.columns:
        if column.value is None:
            raise _error(
                text,
                span,
                "* has no meaning in a grouped query",
                "name what groups have: GROUP BY fields, COUNT ...",
            )
    groups = select.groups or ()
    for value in [*outputs, *_operands(select.having)]:
        for loose in _outside(value, groups):
            raise _error(
                text,
                loose.span,
                "rows of a group may differ here",
                "name it in GROUP BY, or take MIN, MAX, COUNT ... of it",
            )


def _operands(condition: ir.Condition | None) -> list[Any]:
    return [] if condition is None else [condition]


def _outside(value: Any, groups: tuple[ir.Expression, ...]) -> Iterator[Any]:
    """Fields in an expression that are in no aggregate, and in nothing by which rows are grouped."""
    if isinstance(value, ir.Aggregate) or value in groups:
        return
    if isinstance(value, ir.FieldOf | ir.MetaOf | ir.Score):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _outside(item, groups)
    elif is_dataclass(value):
        for one in fields(value):
            yield from _outside(getattr(value, one.name), groups)


def _with_scores(text: str, select: ir.Select, grouped: bool) -> ir.Select:
    legs = legs_of(select.where)
    nears = [leg for leg in legs if isinstance(leg, ir.Near)]
    if nears and select.joins:
        raise _error(text, nears[0].span, "NEAR searches one collection", "search first, then join by _id")
    if len(nears) > 1:
        raise _error(text, nears[1].span, "there is a second one", "one NEAR in a statement")

    def named(value: Any) -> Any:
        if not isinstance(value, ir.Score):
            return value
        meant = [leg for leg in legs if value.index in ("", leg.index, f"{leg.source}.{leg.index}")]
        if len(meant) != 1:
            known = " or ".join(dict.fromkeys(f"SCORE({leg.index})" for leg in legs))
            raise _error(text, value.span, "a score of what?", known or "SCORE needs a MATCH or a NEAR in WHERE")
        return replace(value, index=meant[0].index, leg=meant[0])

    def rebuilt(value: Any) -> Any:
        value = named(value)
        if isinstance(value, tuple):
            return tuple(rebuilt(item) for item in value)
        if is_dataclass(value) and not isinstance(value, type):
            changed = {one.name: rebuilt(getattr(value, one.name)) for one in fields(value)}
            return replace(value, **changed)
        return value

    if not any(isinstance(part, ir.Score) for part in walk((select.columns, select.order))):
        return select
    return replace(select, columns=rebuilt(select.columns), order=rebuilt(select.order))


def _span_in(value: ir.Expression, default: ir.Span) -> ir.Span:
    spans = [part.span for part in walk(value) if hasattr(part, "span")]
    return spans[0] if spans else default


def _error(text: str, span: ir.Span, message: str, hint: str) -> QueryError:
    return QueryError(message, statement=text, start=span[0], end=span[1], hint=hint)
