"""From statements to the SQL of an engine, with a place for every constant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quanta_tissu.errors import QueryError
from quanta_tissu.tissdb import meaning
from quanta_tissu.tissdb.backend import Dialect, Row
from quanta_tissu.tissdb.definitions import CollectionInfo, Path
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.check import legs_of, parts_of, walk
from quanta_tissu.tissdb.tissql.engine import FALSE, MOMENT, TRUE, Engine, Lowered, chosen, comparison, slot
from quanta_tissu.tissdb.values import Value, decode

Kinds = int | tuple[int, ...]
"""The kind of a constant, or of each of the values that a parameter of IN holds."""

Constants = Mapping[tuple[ir.Expression, bool], tuple[int, Kinds]]
"""Slot and kind of each constant, by what it is and whether it is an item of IN."""

_MARK = re.compile("\0([^:\0]+):([^\0]*)\0")

_MOST_PARAMETERS = 30_000

_MOST_SQL = 900_000
"""Characters: SQLite takes a million bytes."""

_NO_LIMIT = 2**63 - 1


def constants_of(statement: ir.Statement) -> list[tuple[ir.Expression, bool]]:
    """What the SQL of a statement needs the values of: every largest expression without fields.

    Returns:
        Each with whether it is an item of IN, where a parameter may hold several values.
    """
    found: list[tuple[ir.Expression, bool]] = []

    def collect(value: Any, item: bool = False) -> bool:
        """Note the constants in a thing; whether all of it has the same value for all rows."""
        if isinstance(value, ir.Match | ir.Near):
            return True
        first = len(found)
        if isinstance(value, ir.In):
            parts = [collect(value.operand), *(collect(one, True) for one in value.items)]
        elif isinstance(value, tuple):
            parts = [collect(one) for one in value]
        else:
            kind: type = type(value)
            parts = [collect(getattr(value, name)) for name in parts_of(kind)]
        constant = all(parts) and not isinstance(value, ir.FieldOf | ir.MetaOf | ir.Aggregate | ir.Score)
        if constant and isinstance(value, ir.Expression):
            found[first:] = [(value, item)]
        return constant

    collect(statement)
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Plan:
    """SQL that can be run.

    Attributes:
        sql: With `?` for parameters.
        slots: The slot of each parameter, and the form in which it is wanted.
        readers: How many columns of a row make each column of the result, and what makes it of them.
    """

    sql: str
    slots: tuple[tuple[str, str], ...]
    readers: tuple[tuple[int, Callable[[Sequence[Any]], Value]], ...]

    def values(self, row: Row) -> list[Value]:
        """The values of a row of the result."""
        out, place = [], 0
        for width, read in self.readers:
            out.append(read(row[place : place + width]))
            place += width
        return out


def _finished(sql: str, readers: Sequence[tuple[int, Callable[[Sequence[Any]], Value]]]) -> Plan:
    slots = tuple((mark[1], mark[2]) for mark in _MARK.finditer(sql))
    if len(slots) > _MOST_PARAMETERS:
        raise QueryError(
            f"the statement needs {len(slots):,} values; engines take {_MOST_PARAMETERS:,}",
            hint="ask in several queries",
        )
    if len(sql) > _MOST_SQL:
        raise QueryError("the statement needs more SQL than engines take", hint="ask in several queries")
    return Plan(_MARK.sub("?", sql), slots, tuple(readers))


class Lowering:
    """Lowers one statement.

    Args:
        engine: The engine's SQL.
        dialect: The engine's dialect.
        find: Finds a collection.
        constants: Slots and kinds of constants.
        first: The number of the first MATCH or NEAR.

    Attributes:
        names: What the statement calls the sources that have these names in SQL.
    """

    def __init__(
        self,
        engine: Engine,
        dialect: Dialect,
        find: Callable[[ir.Source], CollectionInfo],
        constants: Constants,
        first: int = 0,
    ) -> None:
        self._engine, self._dialect, self._find, self._constants = engine, dialect, find, constants
        self.names: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._indexed: dict[str, set[Path]] = {}
        self._keys: dict[ir.Expression, Lowered] = {}
        self._places: dict[ir.Match | ir.Near, int] = {}
        self._next_place = first

    def query(self, query: ir.Query) -> Plan:
        """A query whose rows are those of the result."""
        if isinstance(query, ir.Union) or query.distinct:
            return self._combined(query)
        if query.groups is not None:
            return self._grouped(query)
        self._enter(query.sources)
        source = self._from(query)
        outputs, readers = [], []
        for column in query.columns:
            sql, reader = self._output(column, query.source)
            outputs.append(sql)
            readers.append(reader)
        ties = [self.expression(ir.MetaOf(source.alias, "_id")) for source in query.sources]
        keys = [(self.expression(item.value), item.descending) for item in query.order]
        for place, item in enumerate(query.order):
            kind = self._kinds_of(query.where).get(item.value)
            if kind is not None:
                keys[place] = replace(keys[place][0], kind=kind, present=True), item.descending
        order = self._order(keys, ties, query)
        sql = f"SELECT {', '.join(outputs)} {source}{order}{self._limits(query)}"
        return _finished(sql, readers)

    def rows_to_change(self, source: ir.Source, where: ir.Condition | None) -> Plan:
        """The query for the documents that UPDATE and DELETE are about."""
        select = ir.Select((), source, where=where)
        self._enter((source,))
        text = self._dialect.json_text("s0.doc")
        columns = f"s0.id, s0.rev, s0.created, s0.updated, s0.expires, {text}"
        sql = f"SELECT {columns} {self._from(select)} ORDER BY s0.rid"
        return _finished(sql, ())

    def rids(self, source: ir.Source, where: ir.Condition) -> Plan:
        """The query for the rows that suit conditions."""
        self._enter((source,))
        return _finished(f"SELECT s0.rid {self._from(ir.Select((), source, where=where))}", ())

    def _kinds_of(self, where: ir.Condition | None) -> dict[ir.Expression, int]:
        """Kinds of fields that are compared with a value: others are not in the result, so indexes can sort it."""
        found: dict[ir.Expression, int] = {}
        for one in where.items if isinstance(where, ir.All) else (where,):
            if isinstance(one, ir.All):
                found |= self._kinds_of(one)
            elif isinstance(one, ir.Compare):
                for field, other in ((one.left, one.right), (one.right, one.left)):
                    kind = self._constants.get((other, False), (0, meaning.NULL))[1]
                    if isinstance(field, ir.FieldOf) and kind in meaning.COMPARED:
                        found[field] = _single(kind)
        return found

    def _enter(self, sources: Sequence[ir.Source]) -> None:
        first = len(self.names)
        self._aliases = {source.alias: f"s{place}" for place, source in enumerate(sources, first)}
        infos = {source.alias: self._find(source) for source in sources}
        self._indexed = {
            alias: {path for index in info.of_kind("value") + info.of_kind("unique") for path in index.paths}
            for alias, info in infos.items()
        }
        self.names.update({self._aliases[source.alias]: source.alias for source in sources})
        self._keys = {}

    def _from(self, select: ir.Select) -> str:
        first = self._aliases[select.source.alias]
        parts = [f"FROM {self._find(select.source).table} AS {first}"]
        searched = {leg: self._found(leg) for leg in legs_of(select.where)}
        # What must be found comes first: it is little, and nothing else needs to be looked at.
        early = [leg for leg in searched if _must(leg) and leg.source == select.source.alias]
        parts += [searched[leg] for leg in early]
        for join in select.joins:
            alias, on = self._aliases[join.source.alias], " AND ".join(self.condition(one) for one in join.on)
            outer = "LEFT JOIN" if join.outer else "JOIN"
            parts.append(f"{outer} {self._find(join.source).table} AS {alias} ON {on} AND {_live(alias)}")
        parts += [joined for leg, joined in searched.items() if leg not in early]
        where = "" if select.where is None else f" AND {self.condition(select.where)}"
        return f"{' '.join(parts)} WHERE {_live(first)}{where}"

    def _found(self, leg: ir.Match | ir.Near) -> str:
        """The join with what a search has found."""
        place = self._next_place
        self._next_place += 1
        table = self._engine.scores().replace("?", slot("leg", str(place)))
        self._keys[ir.Score(leg.index, leg=leg)] = self._engine.score(f"m{place}.score")
        self._places[leg] = place
        outer = "" if _must(leg) else "LEFT "
        return f"{outer}JOIN ({table}) AS m{place} ON m{place}.rid = {self._aliases[leg.source]}.rid"

    def _output(
        self, column: ir.Column, source: ir.Source
    ) -> tuple[str, tuple[int, Callable[[Sequence[Any]], Value]]]:
        if column.value is None:
            alias = self._aliases[source.alias]
            return f"{alias}.id, {self._dialect.json_text(f'{alias}.doc')}", (2, read_document)
        value = self.expression(column.value)
        if value.shown is not None:
            return value.shown, (1, _read_json)
        return ", ".join((value.rank, *value.payload)), self._reader

    @property
    def _reader(self) -> tuple[int, Callable[[Sequence[Any]], Value]]:
        return 1 + self._engine.width, self._engine.decode

    def _order(self, order: Sequence[tuple[Lowered, bool]], ties: Sequence[Lowered], query: ir.Query) -> str:
        """ORDER BY, with what decides between rows that are equal in it; nothing if any order will do."""
        if not order and query.limit is None and query.offset is None:
            return ""
        keys = []
        for value, descending in [*order, *((tie, False) for tie in ties)]:
            direction = "DESC" if descending else "ASC"
            if not value.present:
                direction += " NULLS LAST" if descending else " NULLS FIRST"
            keys += [f"{key} {direction}" for key in self._engine.sort_key(value)]
        return f" ORDER BY {', '.join(keys)}" if keys else ""

    def _limits(self, query: ir.Query) -> str:
        if query.limit is None and query.offset is None:
            return ""
        limit = str(_NO_LIMIT) if query.limit is None else self._integer(query.limit)
        return f" LIMIT {limit}" + ("" if query.offset is None else f" OFFSET {self._integer(query.offset)}")

    def _integer(self, expression: ir.Expression) -> str:
        return slot(self._constants[expression, False][0], "i")

    def _combined(self, query: ir.Query) -> Plan:
        """DISTINCT and UNION: what they combine is a table, whose rows are sorted then."""
        if isinstance(query, ir.Select):
            count = len(query.columns)
            body = f"SELECT DISTINCT * FROM ({self._body(query)}) AS b"
            values = [column.value for column in query.columns]
            places = [(values.index(item.value), item.descending) for item in query.order]
        else:
            body, count = self._union(query)
            places = list(query.order)
        columns = [
            self._engine.columns([f"c{place}_{part}" for part in range(self._reader[0])]) for place in range(count)
        ]
        order = self._order([(columns[place], down) for place, down in places], columns, query)
        return _finished(f"SELECT * FROM ({body}) AS u{order}{self._limits(query)}", [self._reader] * count)

    def _union(self, query: ir.Query) -> tuple[str, int]:
        """The rows of a union, and how many columns they have."""
        if isinstance(query, ir.Select):
            distinct = "DISTINCT " if query.distinct else ""
            return f"SELECT {distinct}* FROM ({self._body(query)}) AS q", len(query.columns)
        (left, count), (right, _) = self._union(query.left), self._union(query.right)
        return f"SELECT * FROM ({left} UNION {'ALL ' if query.all else ''}{right}) AS v", count

    def _body(self, select: ir.Select) -> str:
        """The rows of a SELECT, unsorted, in columns c0_0, c0_1 ...: rank and payload of each value.

        Whole numbers are integers, so that rows that are equal look alike, too.
        """
        source = self._grouped_from(select) if select.groups is not None else None
        if source is None:
            self._enter(select.sources)
            source = self._from(select)
        outputs = []
        for place, column in enumerate(select.columns):
            value = self.expression(column.value) if column.value is not None else self._engine.null()
            outputs += self._columns(self._engine.whole(value), f"c{place}")
        return f"SELECT {', '.join(outputs)} {source}"

    def _columns(self, value: Lowered, name: str) -> list[str]:
        return [f"{sql} AS {name}_{part}" for part, sql in enumerate((value.rank, *value.payload))]

    def _grouped(self, query: ir.Select) -> Plan:
        source = self._grouped_from(query)
        outputs: list[str] = []
        for column in query.columns:
            if column.value is not None:
                value = self.expression(column.value)
                outputs += (value.rank, *value.payload)
        ties = [self.expression(key) for key in query.groups or ()]
        order = self._order([(self.expression(item.value), item.descending) for item in query.order], ties, query)
        sql = f"SELECT {', '.join(outputs)} {source}{order}{self._limits(query)}"
        return _finished(sql, [self._reader] * len(query.columns))

    def _grouped_from(self, select: ir.Select) -> str:
        """A table of groups, of which HAVING has chosen; from now on expressions are about its rows."""
        self._enter(select.sources)
        source = self._from(select)
        inner, names, found = [], [], {}
        for place, key in enumerate(select.groups or ()):
            value = self._engine.whole(self.expression(key))
            inner += self._columns(value, f"k{place}")
            names += [f"k{place}_{part}" for part in range(self._reader[0])]
            found[key] = self._of_group(value, f"k{place}")
        aggregates = {
            part: None
            for part in walk((select.columns, select.having, select.order))
            if isinstance(part, ir.Aggregate)
        }
        for place, aggregate in enumerate(aggregates):
            value = self._aggregate(aggregate)
            inner += self._columns(value, f"a{place}")
            found[aggregate] = self._of_group(value, f"a{place}")
        grouping = f" GROUP BY {', '.join(names)}" if names else ""
        self._keys = found
        having = "" if select.having is None else f" WHERE {self.condition(select.having)}"
        # Something is counted in any case, so that without GROUP BY there is one group.
        return f"FROM (SELECT {', '.join(inner) or 'count(*) AS n'} {source}{grouping}) AS g{having}"

    def _of_group(self, value: Lowered, name: str) -> Lowered:
        columns = self._engine.columns([f"g.{name}_{part}" for part in range(self._reader[0])])
        return columns if value.kind is None else replace(columns, kind=value.kind)

    def _aggregate(self, aggregate: ir.Aggregate) -> Lowered:
        if aggregate.operand is None:
            return self._engine.number("count(*)")
        value = self.expression(aggregate.operand)
        if aggregate.function == "count":
            return self._engine.count(value, aggregate.distinct)
        return self._engine.aggregate(aggregate.function, value)

    def expression(self, expression: ir.Expression) -> Lowered:
        """A value in SQL."""
        engine = self._engine
        if expression in self._keys:
            return self._keys[expression]
        found = self._constants.get((expression, False))
        if found is not None:
            number, kind = found
            return engine.null() if kind == meaning.NULL else engine.constant(str(number), _single(kind))
        match expression:
            case ir.FieldOf(source, path, _):
                return engine.field(self._aliases[source], path, path in self._indexed[source])
            case ir.MetaOf(source, name, _):
                column = f"{self._aliases[source]}.{name.removeprefix('_')}"
                kind_name = ir.META[name]
                make = {"string": engine.text, "number": engine.number, "datetime": engine.moment}[kind_name]
                return make(column)
            case ir.Negative(operand):
                return engine.number(engine.arithmetic("-", "0", engine.numeric(self.expression(operand))))
            case ir.Arithmetic(operator, left, right):
                a, b = (engine.numeric(self.expression(side)) for side in (left, right))
                return engine.number(engine.arithmetic(operator, a, b))
            case ir.Shift(operand, months, microseconds, _):
                value = self.expression(operand)
                return engine.shift(value, months, microseconds) if _may_be_time(value) else engine.null()
            case ir.Extract(part, operand):
                value = self.expression(operand)
                return engine.extract(part, value) if _may_be_time(value) else engine.null()
            case ir.TextFunction(function, operand):
                return engine.text_function(function, self.expression(operand))
            case ir.Concatenation(left, right):
                return engine.concatenation(self.expression(left), self.expression(right))
            case ir.Coalesce(items):
                *before, last = map(self.expression, items)
                return chosen([(engine.is_null(value, True), value) for value in before], last)
            case ir.Case(branches, otherwise):
                cases = [(self.condition(when), self.expression(value)) for when, value in branches]
                return chosen(cases, self.expression(otherwise))
            case _:
                raise AssertionError(f"unreachable: {expression} was checked before")

    def condition(self, condition: ir.Condition) -> str:
        """A condition in SQL: null counts as false wherever it comes from."""
        engine = self._engine
        match condition:
            case ir.Truth(value):
                return TRUE if value else FALSE
            case ir.All(items):
                return _balanced("AND", [self.condition(item) for item in items])
            case ir.Some(items):
                return _balanced("OR", [self.condition(item) for item in items])
            case ir.Compare(operator, left, right):
                return comparison(engine, operator, self.expression(left), self.expression(right))
            case ir.Like():
                return self._like(condition)
            case ir.In():
                return self._in(condition)
            case ir.IsNull(operand, negated):
                return engine.is_null(self.expression(operand), negated)
            case ir.Exists(operand, negated):
                test = engine.exists(self._aliases[operand.source], operand.path)
                return f"NOT ({test})" if negated else f"({test})"
            case ir.Match(negated=negated) if not _must(condition):
                return f"m{self._places[condition]}.rid IS {'' if negated else 'NOT '}NULL"
            case ir.Match() | ir.Near():
                return TRUE  # the join with its scores has chosen

    def _like(self, like: ir.Like) -> str:
        value = self.expression(like.operand)
        number, kind = self._constants[like.pattern, False]
        if kind != meaning.STRING or value.kind not in (None, meaning.STRING):
            return FALSE
        test = self._engine.like(value.payload, str(number), like.escape, like.negated)
        return f"({test} AND {value.compared(meaning.STRING)})"

    def _in(self, condition: ir.In) -> str:
        """A list for each kind; what is of another kind than all of them is unknown."""
        value = self.expression(condition.operand)
        by_kind: dict[int, list[Lowered]] = {}
        for item in condition.items:
            number, kinds = self._constants[item, True]
            several = kinds if isinstance(kinds, tuple) else (kinds,)
            for place, kind in enumerate(several):
                name = f"{number}.{place}" if isinstance(kinds, tuple) else str(number)
                by_kind.setdefault(kind, []).append(self._engine.constant(name, kind))
        if condition.negated and len(by_kind) > 1:
            return FALSE  # whatever the value is, comparing it with one of another kind is unknown
        tests = []
        for kind, others in by_kind.items():
            if kind in meaning.COMPARED and value.kind in (None, kind):
                test = self._engine.among(value, others, condition.negated)
                tests.append(f"({test} AND {value.compared(kind)})")
        if not by_kind:
            return TRUE if condition.negated else FALSE
        return _balanced("OR", tests) if tests else FALSE


def _balanced(word: str, tests: Sequence[str]) -> str:
    """Conditions joined by a word, as a tree that is flat enough for engines that limit its depth."""
    if len(tests) == 1:
        return tests[0]
    middle = len(tests) // 2
    return f"({_balanced(word, tests[:middle])} {word} {_balanced(word, tests[middle:])})"


def _live(alias: str) -> str:
    return f"({alias}.expires IS NULL OR {alias}.expires > {slot(MOMENT, 'i')})"


def _must(leg: ir.Match | ir.Near) -> bool:
    """Whether nothing is in the result that the search has not found."""
    return isinstance(leg, ir.Near) or leg.must


def _may_be_time(value: Lowered) -> bool:
    return value.kind in (None, meaning.DATE, meaning.TIME, meaning.DATETIME)


def _single(kinds: Kinds) -> int:
    return kinds if isinstance(kinds, int) else meaning.ARRAY


def _read_json(columns: Sequence[Any]) -> Value:
    """A value of its JSON text, which the engine has made of ours."""
    text = columns[0]
    if text is None:
        return None
    if text[0] == '"' and "\\" not in text:
        return text[1:-1]
    return decode(text)


def read_document(columns: Sequence[Any]) -> dict[str, Value]:
    """A document, with its id among its fields."""
    document = decode(columns[1])
    document["_id"] = columns[0]
    return document
