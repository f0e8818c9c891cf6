"""The meaning of TissQL in plain Python: slow, short, and what every engine is compared with.

Constants, and what UPDATE sets, are evaluated with it everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cmp_to_key
from typing import Any

from quanta_tissu.tissdb import meaning
from quanta_tissu.tissdb.documents import Document
from quanta_tissu.tissdb.paths import at_path
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.check import columns_of, star_of
from quanta_tissu.tissdb.values import Value

Row = dict[str, Document | None]
"""A document of each source; None where an outer join found none."""

Documents = Mapping[str, Sequence[Document]]
"""All documents by collection."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What an expression can see.

    Attributes:
        parameters: By place or name.
        moment: When, in microseconds since 1970.
        row: A row; in a grouped query, any row of the group.
        group: All rows of the group.
        scores: Of documents by id, for each MATCH and NEAR.
        keys: What rows are grouped by, with its value in this group.
    """

    parameters: Mapping[int | str, Value] = field(default_factory=dict)
    moment: int = 0
    row: Row = field(default_factory=dict)
    group: Sequence[Row] = ()
    scores: Mapping[ir.Match | ir.Near, Mapping[str, float]] = field(default_factory=dict)
    keys: Mapping[ir.Expression, Value] = field(default_factory=dict)


def evaluate(expression: ir.Expression, env: Environment) -> Value:
    """The value of an expression."""
    if expression in env.keys:
        return env.keys[expression]
    match expression:
        case ir.Constant(value, _):
            return value
        case ir.Parameter(key, _):
            return env.parameters[key]
        case ir.ListOf(items):
            return [evaluate(item, env) for item in items]
        case ir.ObjectOf(pairs):
            return {key: evaluate(item, env) for key, item in pairs}
        case ir.FieldOf(source, path, _):
            document = env.row.get(source)
            return None if document is None else at_path(document.value, path)
        case ir.MetaOf(source, name, _):
            return _meta(env.row.get(source), name)
        case ir.Now():
            return meaning.moment(env.moment)
        case ir.Negative(operand):
            return meaning.negative(evaluate(operand, env))
        case ir.Arithmetic(operator, left, right):
            return meaning.arithmetic(operator, evaluate(left, env), evaluate(right, env))
        case ir.Shift(operand, months, microseconds, _):
            return meaning.shift(evaluate(operand, env), months, microseconds)
        case ir.Extract(part, operand):
            return meaning.extract(part, evaluate(operand, env))
        case ir.TextFunction(function, operand):
            return meaning.text_function(function, evaluate(operand, env))
        case ir.Concatenation(left, right):
            return meaning.concatenated(evaluate(left, env), evaluate(right, env))
        case ir.Coalesce(items):
            return next((value for item in items if (value := evaluate(item, env)) is not None), None)
        case ir.Case(branches, otherwise):
            return evaluate(next((value for when, value in branches if holds(when, env)), otherwise), env)
        case ir.Aggregate():
            return _aggregate(expression, env)
        case ir.Score(leg=ir.Match() | ir.Near() as leg):
            found = env.row[leg.source]
            return None if found is None else env.scores[leg].get(found.id)
        case _:
            raise AssertionError(f"unreachable: {expression} was checked before")


def _meta(document: Document | None, name: str) -> Value:
    if document is None:
        return None
    match name:
        case "_id":
            return document.id
        case "_rev":
            return document.revision
        case "_created":
            return meaning.moment(document.created)
        case "_updated":
            return meaning.moment(document.updated)
        case _:
            return meaning.moment(document.expires)


def _aggregate(aggregate: ir.Aggregate, env: Environment) -> Value:
    if aggregate.operand is None:
        return len(env.group)
    values = [evaluate(aggregate.operand, replace(env, row=row, keys={})) for row in env.group]
    match aggregate.function:
        case "count":
            present = [meaning.grouping(value) for value in values if value is not None]
            return len(set(present)) if aggregate.distinct else len(present)
        case "sum":
            return meaning.total(values)
        case "avg":
            numbers = [value for value in values if meaning.is_number(value)]
            return meaning.arithmetic("/", meaning.total(numbers), len(numbers))
        case "stddev":
            return meaning.deviation(values)
        case "min" | "max":
            return meaning.extreme(values, largest=aggregate.function == "max")


def holds(condition: ir.Condition, env: Environment) -> bool:
    """Whether a condition is true of a row: what is unknown is false."""
    match condition:
        case ir.Truth(value):
            return value
        case ir.All(items):
            return all(holds(item, env) for item in items)
        case ir.Some(items):
            return any(holds(item, env) for item in items)
        case ir.Compare(operator, left, right):
            return meaning.compare(operator, evaluate(left, env), evaluate(right, env))
        case ir.Like(operand, pattern, escape, negated, _):
            return _like(evaluate(operand, env), evaluate(pattern, env), escape, negated)
        case ir.In(operand, items, negated, _):
            value = evaluate(operand, env)
            others = [one for item in items for one in in_items(item, env)]
            if negated:
                return all(meaning.compare("<>", value, other) for other in others)
            return any(meaning.compare("=", value, other) for other in others)
        case ir.IsNull(operand, negated):
            return (evaluate(operand, env) is None) != negated
        case ir.Exists(operand, negated):
            return _exists(env.row.get(operand.source), operand) != negated
        case ir.Match(source=source) | ir.Near(source=source):
            document = env.row[source]
            matched = document is not None and document.id in env.scores[condition]
            return matched != (isinstance(condition, ir.Match) and condition.negated)


def in_items(item: ir.Expression, env: Environment) -> list[Value]:
    """What an item of IN stands for: a parameter may be a list of values."""
    value = evaluate(item, env)
    return value if isinstance(item, ir.Parameter) and isinstance(value, list) else [value]


def _like(value: Value, pattern: Value, escape: str, negated: bool) -> bool:
    if not isinstance(value, str) or not isinstance(pattern, str):
        return False
    steps = meaning.pattern_steps(pattern, escape)
    if steps is None:
        return False
    parts = [".*" if step == meaning.ANY_TEXT else "." if step is None else re.escape(step) for step in steps]
    return (re.fullmatch("".join(parts), value, re.DOTALL) is not None) != negated


def _exists(document: Document | None, operand: ir.FieldOf) -> bool:
    if document is None:
        return False
    holder = at_path(document.value, operand.path[:-1])
    last = operand.path[-1]
    if isinstance(last, int):
        return isinstance(holder, list) and last < len(holder)
    return isinstance(holder, dict) and last in holder


def run_query(query: ir.Query, documents: Documents, env: Environment) -> list[dict[str, Value]]:
    """The rows of a query, each a dict by the names of its columns; of `*`, by those of the fields."""
    names, star = columns_of(query), star_of(query)
    rows, order, limits = _rows(query, documents, env)
    rows.sort(key=cmp_to_key(_by([descending for _, descending in order])))
    found = [values for values, _, _ in rows]
    limit, offset = (None if item is None else evaluate(item, env) for item in limits)
    found = found[offset or 0 :][: len(found) if limit is None else limit]
    return [
        {
            name: item
            for place, (key, value) in enumerate(zip(names, values, strict=True))
            for name, item in (value.items() if place == star else [(key, value)])
        }
        for values in found
    ]


_Sorted = tuple[list[Value], list[Any], list[Any]]
"""A row of a result: its values, by what it is sorted, and what decides between rows that are equal in that."""


def _by(descending: list[bool]) -> Any:
    def compare(a: _Sorted, b: _Sorted) -> int:
        for x, y, down in zip(a[1], b[1], descending, strict=True):
            if x != y:
                return 1 if (x > y) != down else -1
        return 0 if a[2] == b[2] else 1 if a[2] > b[2] else -1

    return compare


def _rows(query: ir.Query, documents: Documents, env: Environment) -> tuple[list[_Sorted], Any, Any]:
    if isinstance(query, ir.Union):
        return _union(query, documents, env)
    found = [row for row in _joined(query, documents, env) if _chosen(query.where, row, env)]
    rows_of = [replace(env, row=row) for row in found]
    environments = rows_of if query.groups is None else _groups(query, found, env)
    rows: list[_Sorted] = []
    for one in environments:
        values = [_star(one) if column.value is None else evaluate(column.value, one) for column in query.columns]
        keys = [meaning.comparable(evaluate(item.value, one)) for item in query.order]
        if query.groups is None:
            ties = [meaning.comparable(None if document is None else document.id) for document in one.row.values()]
        else:
            ties = [meaning.comparable(evaluate(key, one)) for key in query.groups]
        rows.append((values, keys, ties))
    if query.distinct:
        rows = _once(rows)
    return rows, [(item, item.descending) for item in query.order], (query.limit, query.offset)


def _chosen(condition: ir.Condition | None, row: Row, env: Environment) -> bool:
    return condition is None or holds(condition, replace(env, row=row))


def _star(env: Environment) -> dict[str, Value]:
    [document] = env.row.values()
    return {} if document is None else {"_id": document.id, **document.value}


def _once(rows: list[_Sorted]) -> list[_Sorted]:
    """Rows of which no two have the same values, in the form that stands for all of them."""
    found: dict[Any, _Sorted] = {}
    for values, keys, _ in rows:
        key = tuple(meaning.grouping(value) for value in values)
        ties = [meaning.comparable(value) for value in values]
        found.setdefault(key, ([meaning.whole(value) for value in values], keys, ties))
    return list(found.values())


def _union(union: ir.Union, documents: Documents, env: Environment) -> tuple[list[_Sorted], Any, Any]:
    rows: list[_Sorted] = []
    for side in (union.left, union.right):
        part, _, _ = _rows(side, documents, env)
        rows += [(values, [], [meaning.comparable(value) for value in values]) for values, _, _ in part]
    if not union.all:
        rows = _once(rows)
    rows = [([meaning.whole(value) for value in values], keys, ties) for values, keys, ties in rows]
    order = [
        (values, [meaning.comparable(values[place]) for place, _ in union.order], ties) for values, _, ties in rows
    ]
    return order, list(union.order), (union.limit, union.offset)


def _joined(select: ir.Select, documents: Documents, env: Environment) -> Iterator[Row]:
    rows: list[Row] = [{select.source.alias: document} for document in _live(select.source, documents, env)]
    for join in select.joins:
        joined: list[Row] = []
        others = list(_live(join.source, documents, env))
        for row in rows:
            pairs: list[Row] = [{**row, join.source.alias: other} for other in others]
            found = [pair for pair in pairs if holds(ir.All(join.on), replace(env, row=pair))]
            joined += found or ([{**row, join.source.alias: None}] if join.outer else [])
        rows = joined
    return iter(rows)


def _live(source: ir.Source, documents: Documents, env: Environment) -> Iterator[Document]:
    for document in documents[source.collection]:
        if document.expires is None or document.expires > env.moment:
            yield document


def _groups(select: ir.Select, rows: list[Row], env: Environment) -> list[Environment]:
    """A row for each group, in which its keys are what they are grouped by."""
    keys = select.groups or ()
    groups: dict[Any, list[Row]] = {} if keys else {(): []}
    for row in rows:
        one = replace(env, row=row)
        groups.setdefault(tuple(meaning.grouping(evaluate(key, one)) for key in keys), []).append(row)
    out = []
    for members in groups.values():
        row = members[0] if members else {}
        values = {key: meaning.whole(evaluate(key, replace(env, row=row))) for key in keys}
        one = replace(env, row=row, group=members, keys=values)
        if select.having is None or holds(select.having, one):
            out.append(one)
    return out
