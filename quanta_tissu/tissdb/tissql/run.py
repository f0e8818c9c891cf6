"""Running statements: parsed once, lowered once for each combination of kinds of values, run by the engine."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from threading import Lock
from typing import Any

from quanta_tissu.errors import QueryError
from quanta_tissu.tissdb import meaning
from quanta_tissu.tissdb.audit import read_head
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Catalog, CollectionInfo, Filter, Index
from quanta_tissu.tissdb.documents import Changes, now
from quanta_tissu.tissdb.scope import Scope, time_limit
from quanta_tissu.tissdb.search.cache import VectorCache
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.check import columns_of, legs_of, star_of, walk
from quanta_tissu.tissdb.tissql.engine import MOMENT, Engine
from quanta_tissu.tissdb.tissql.legs import find_near, find_words, without
from quanta_tissu.tissdb.tissql.lower import Kinds, Lowering, Plan, constants_of, read_document
from quanta_tissu.tissdb.tissql.parameters import Parameters, bound, error_at
from quanta_tissu.tissdb.tissql.postgres import PostgresEngine
from quanta_tissu.tissdb.tissql.reference import Environment, evaluate
from quanta_tissu.tissdb.tissql.sqlite import SqliteEngine
from quanta_tissu.tissdb.tissql.write import delete_rows, insert_rows, update_rows
from quanta_tissu.tissdb.values import Value

ENGINES: dict[str, Engine] = {"sqlite": SqliteEngine(), "postgres": PostgresEngine()}
"""By the name of their dialect."""

_PLANS = 1_000


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement found or did.

    Attributes:
        columns: Names of the columns.
        rows: A tuple of values for each row.
        changed: How many documents were written, None for a query.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    changed: int | None = None

    def __iter__(self) -> Iterator[dict[str, Value]]:
        """Rows as dicts by the names of the columns."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class Queries:
    """Runs statements of TissQL: what databases, transactions and views have in common."""

    def query(
        self: Scope, sql: str, parameters: Parameters = (), *, key: str | None = None, timeout: float | None = None
    ) -> Result:
        """Run a statement of TissQL.

        Args:
            sql: The statement.
            parameters: A value for each `?`, or by name for each `:name`.
            key: An idempotency key, for INSERT, UPDATE and DELETE: under the same key it is done once.
            timeout: Seconds that a SELECT may take; by default those that the database was opened with.

        Raises:
            QueryTimeoutError: It took longer.
            QueryError: It cannot be run; the error shows the place.
            DatabaseError: What it writes cannot be stored.
        """
        return query(self, sql, parameters, key=key, timeout=timeout)

    def explain(self: Scope, sql: str, parameters: Parameters = ()) -> list[str]:
        """How the engine would find the documents of a statement: which indexes it uses, in which order.

        Raises:
            QueryError: It cannot be run, or is an INSERT.
        """
        return explain(self, sql, parameters)


@dataclass(frozen=True, slots=True)
class _Prepared:
    parsed: ir.Parsed
    constants: tuple[tuple[ir.Expression, bool], ...]
    sources: tuple[ir.Source, ...]
    searches: bool


@lru_cache(maxsize=_PLANS)
def prepare(text: str) -> _Prepared:
    """A statement, parsed, with what running it needs to know."""
    from quanta_tissu.tissdb.tissql.parse import parse  # sqlglot takes a third of a second to import

    parsed = parse(text)
    sources = tuple(part for part in walk(parsed.statement) if isinstance(part, ir.Source))
    searches = any(isinstance(part, ir.Match | ir.Near) for part in walk(parsed.statement))
    return _Prepared(parsed, tuple(constants_of(parsed.statement)), sources, searches)


def query(
    scope: Scope, text: str, parameters: Parameters = (), *, key: str | None = None, timeout: float | None = None
) -> Result:
    """As `Queries.query`."""
    if not isinstance(text, str):
        raise QueryError(f"a statement is text, not {type(text).__name__}")
    prepared = prepare(text)
    values = bound(prepared.parsed, parameters)
    statement = prepared.parsed.statement
    if prepared.parsed.explain:
        lines = explain(scope, text, parameters)
        return Result(("plan",), [(line,) for line in lines])
    if isinstance(statement, ir.Select | ir.Union):
        if key is not None:
            raise QueryError("an idempotency key is for statements that write", hint="leave it out")

        def read(connection: Connection, catalog: Catalog) -> Result:
            return _Run(prepared, values, connection, catalog, scope, now(), scope.vector_cache).query(statement)

        return scope.read(read, one_state=prepared.searches, timeout=time_limit(scope, timeout))
    if timeout is not None:
        raise QueryError("a time limit is for statements that read", hint="leave it out")
    changed = scope.write(lambda changes: _write(prepared, values, changes, scope), key=key, purpose=text)
    return Result((), [], changed)


def explain(scope: Scope, text: str, parameters: Parameters = ()) -> list[str]:
    """As `Queries.explain`."""
    prepared = prepare(text)
    values = bound(prepared.parsed, parameters)
    if isinstance(prepared.parsed.statement, ir.Insert):
        raise QueryError("an INSERT looks for nothing", hint="EXPLAIN shows how documents are found")

    def read(connection: Connection, catalog: Catalog) -> list[str]:
        return _Run(prepared, values, connection, catalog, scope, now(), scope.vector_cache).explain()

    return scope.read(read, one_state=True)


def condition(
    scope: Scope,
    connection: Connection,
    catalog: Catalog,
    collection: str,
    text: str,
    parameters: Parameters,
    moment: int,
) -> Filter:
    """The documents of a collection that suit a condition, as it stands behind WHERE.

    Args:
        scope: Where the collection is.
        connection: Reads it.
        catalog: Knows it.
        collection: Its name.
        text: The condition.
        parameters: As in `Queries.query`.
        moment: Now, in microseconds.

    Raises:
        QueryError: It is no condition; the error shows the place.
    """
    if not isinstance(text, str):
        raise QueryError(f"a condition is text, not {type(text).__name__}")
    before = f'SELECT _id FROM "{collection}" WHERE '
    try:
        prepared = prepare(before + text)
        statement = prepared.parsed.statement
        if not isinstance(statement, ir.Select) or statement != ir.Select(
            statement.columns, statement.source, where=statement.where
        ):
            raise QueryError("this is more than a condition", statement=before + text, start=len(before))
        legs = legs_of(statement.where)
        if legs:
            message = "what to search for stands beside the condition"
            raise error_at(before + text, legs[0].span, message, "search(text, vector=..., where=...)")
        values = bound(prepared.parsed, parameters)
        run = _Run(prepared, values, connection, catalog, scope, moment, scope.vector_cache)
        return run.rids(statement.source, statement.where)
    except QueryError as error:
        if error.statement is None:
            raise
        start, end = error.start - len(before), error.end - len(before)
        raise QueryError(error.what, statement=text, start=start, end=end, hint=error.hint) from None


def _write(prepared: _Prepared, values: Mapping[int | str, Value], changes: Changes, scope: Scope) -> int:
    statement, text = prepared.parsed.statement, prepared.parsed.text
    env = Environment(values, changes.time)
    if isinstance(statement, ir.Insert):
        return insert_rows(changes, statement, env, text)
    if not isinstance(statement, ir.Update | ir.Delete):
        raise AssertionError("unreachable: queries do not write")
    # A cache of its own: what this transaction has written may be undone.
    run = _Run(prepared, values, changes.connection, changes.catalog, scope, changes.time, VectorCache)
    info = run.find(statement.source)
    rows = run.rows_to_change(statement)
    if isinstance(statement, ir.Update):
        return update_rows(changes, info, statement, rows, env)
    return delete_rows(changes, info, rows)


class _Plans:
    """The plans that were used last, by everything on which they depend."""

    def __init__(self) -> None:
        self._plans: OrderedDict[Any, tuple[Plan, dict[str, str]]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Any) -> tuple[Plan, dict[str, str]] | None:
        with self._lock:
            found = self._plans.get(key)
            if found is not None:
                self._plans.move_to_end(key)
            return found

    def put(self, key: Any, plan: tuple[Plan, dict[str, str]]) -> None:
        with self._lock:
            self._plans[key] = plan
            if len(self._plans) > _PLANS:
                self._plans.popitem(last=False)


_plans = _Plans()


class _Run:
    """One run of a statement: the values of its constants, and where it reads."""

    def __init__(
        self,
        prepared: _Prepared,
        parameters: Mapping[int | str, Value],
        connection: Connection,
        catalog: Catalog,
        scope: Scope,
        moment: int,
        cache_of: Callable[[Index], VectorCache],
    ) -> None:
        self._prepared, self._connection, self._catalog, self._scope = prepared, connection, catalog, scope
        self._cache_of = cache_of
        self._env = Environment(parameters, moment)
        self._engine = ENGINES[connection.dialect.name]
        self._values: list[Value] = [evaluate(expression, self._env) for expression, _ in prepared.constants]
        self._kinds: list[Kinds] = [
            tuple(meaning.kind_of(one) for one in value)
            if item and isinstance(expression, ir.Parameter) and isinstance(value, list)
            else meaning.kind_of(value)
            for (expression, item), value in zip(prepared.constants, self._values, strict=True)
        ]
        self._scores: dict[str, str] = {}
        self._infos: dict[str, CollectionInfo] = {}
        for source in prepared.sources:
            self._infos[source.collection] = self.find(source)

    def find(self, source: ir.Source) -> CollectionInfo:
        """A collection of the statement."""
        found = self._infos.get(source.collection)
        found = found or self._scope.find(self._connection, self._catalog, source.collection)
        if found is None:
            known = ", ".join(sorted(self._catalog.collections)) or "none yet"
            raise error_at(
                self._prepared.parsed.text,
                source.span,
                f"there is no collection {source.collection!r}",
                f"collections: {known}",
            )
        return found

    def query(self, statement: ir.Query) -> Result:
        """The rows of a query."""
        self._check_limits(statement)
        plan, _ = self._plan("query", lambda lowering: lowering.query(statement))
        self._search(statement)
        rows, names, star = self._rows(plan), columns_of(statement), star_of(statement)
        if star is None:
            return Result(tuple(names), [tuple(plan.values(row)) for row in rows])
        if len(names) == 1:
            return _of_documents([read_document(row) for row in rows])
        return _with_fields(names, star, [plan.values(row) for row in rows])

    def rows_to_change(self, statement: ir.Update | ir.Delete) -> list[tuple[Any, ...]]:
        """Id, revision, times and text of the documents that UPDATE or DELETE is about."""
        plan, _ = self._plan("rows", lambda lowering: lowering.rows_to_change(statement.source, statement.where))
        self._search(statement)
        return self._rows(plan)

    def rids(self, source: ir.Source, where: ir.Condition | None, name: str = "rids", first: int = 0) -> Filter:
        """The rows that suit conditions, of which the plan has a name of its own.

        Args:
            source: The collection.
            where: The conditions.
            name: Tells the plan from others of this statement.
            first: The number of the first MATCH in the conditions.
        """
        where = where or ir.Truth(True)
        plan, _ = self._plan(f"{name} {first}", lambda lowering: lowering.rids(source, where), first)
        return Filter(plan.sql, self._parameters(plan))

    def explain(self) -> list[str]:
        """What the engine says of how it would run the statement, in the user's names."""
        statement = self._prepared.parsed.statement
        if isinstance(statement, ir.Update | ir.Delete):
            plan, names = self._plan("rows", lambda one: one.rows_to_change(statement.source, statement.where))
        elif isinstance(statement, ir.Select | ir.Union):
            self._check_limits(statement)
            plan, names = self._plan("query", lambda one: one.query(statement))
        else:
            raise AssertionError("unreachable: an INSERT is refused before")
        self._search(statement)
        known = dict(names)
        for info in self._infos.values():
            known[info.table] = info.name
            known |= {f"i_{index.number}": index.name for index in info.indexes.values()}
        lines = self._engine.explain(self._connection, plan.sql, self._parameters(plan))
        return [re.sub(r"\b[sdi]_?\d+\b", lambda found: known.get(found[0], found[0]), line) for line in lines]

    def _plan(self, kind: str, lower: Any, first: int = 0) -> tuple[Plan, dict[str, str]]:
        dialect = self._connection.dialect
        tables = tuple(info.table for info in self._infos.values())
        version = self._catalog.version  # plans know indexes
        key = (dialect.name, self._prepared.parsed.text, kind, tables, version, tuple(self._kinds))
        found = _plans.get(key)
        if found is None:
            constants = {
                constant: (place, kinds)
                for place, (constant, kinds) in enumerate(zip(self._prepared.constants, self._kinds, strict=True))
            }
            lowering = Lowering(self._engine, dialect, self.find, constants, first)
            found = lower(lowering), lowering.names
            _plans.put(key, found)
        return found

    def _rows(self, plan: Plan) -> list[tuple[Any, ...]]:
        return self._connection.rows(plan.sql, self._parameters(plan))

    def _parameters(self, plan: Plan) -> tuple[Any, ...]:
        return tuple(self._parameter(name, facet) for name, facet in plan.slots)

    def _parameter(self, name: str, facet: str) -> Any:
        if name == "leg":
            return self._scores[facet]
        number, _, place = name.partition(".")
        if int(number) == MOMENT:
            return self._env.moment
        value = self._values[int(number)]
        return self._engine.bind(value[int(place)] if place else value, facet)

    def _check_limits(self, statement: ir.Query) -> None:
        for name, expression in (("LIMIT", statement.limit), ("OFFSET", statement.offset)):
            value = 0 if expression is None else evaluate(expression, self._env)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                spans = [part.span for part in walk(expression) if isinstance(part, ir.Parameter)]
                raise error_at(
                    self._prepared.parsed.text,
                    spans[0] if spans else (0, 0),
                    f"{name} {value!r} is no number of rows",
                    "0 or more",
                )

    def _search(self, statement: ir.Query | ir.Update | ir.Delete) -> None:
        """Let MATCH and NEAR find what the plan joins."""
        self._scores = {}
        if not self._prepared.searches:
            return
        for part in walk(statement):
            if isinstance(part, ir.Select | ir.Update | ir.Delete):
                self._search_one(part)

    def _search_one(self, statement: ir.Select | ir.Update | ir.Delete) -> None:
        legs = legs_of(statement.where)
        if not legs:
            return
        text, where, first = self._prepared.parsed.text, statement.where, len(self._scores)
        sources = statement.sources if isinstance(statement, ir.Select) else (statement.source,)
        infos = {source.alias: self.find(source) for source in sources}
        head = read_head(self._connection).seq
        for place, leg in enumerate(legs, first):
            info = infos[leg.source]
            if isinstance(leg, ir.Match):
                rest = without(where, ir.Match | ir.Near)
                others = self.rids(statement.source, rest, "words", first) if len(sources) == 1 else None
                found = find_words(text, leg, info, self._connection, others, self._env)
            else:
                others = self.rids(statement.source, without(where, ir.Near), "near", first)
                found = find_near(text, leg, info, self._connection, others, self._env, self._cache_of, head)
            self._scores[str(place)] = found


def _of_documents(documents: list[dict[str, Value]]) -> Result:
    """`*` alone: a column for each field that any of the documents has."""
    fields = ("_id", *sorted(set().union(*documents) - {"_id"}))
    if len(fields) > 1 and all(len(document) == len(fields) for document in documents):
        return Result(fields, list(map(itemgetter(*fields), documents)))  # all of them have all
    return Result(fields, [tuple(map(document.get, fields)) for document in documents])


def _with_fields(names: Sequence[str], place: int, rows: list[list[Value]]) -> Result:
    """`*` at a place among other columns."""
    fields = ["_id", *sorted(set().union(*(row[place] for row in rows)) - {"_id"})]
    fields = [name for name in fields if name not in names]
    columns = (*names[:place], *fields, *names[place + 1 :])
    return Result(columns, [(*row[:place], *map(row[place].get, fields), *row[place + 1 :]) for row in rows])
