"""MATCH and NEAR: search finds documents and their scores, which the statement's SQL then joins."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from quanta_tissu.errors import InvalidDocumentError, QueryError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import CollectionInfo, Filter, Index
from quanta_tissu.tissdb.search.cache import VectorCache
from quanta_tissu.tissdb.search.hybrid import Request, search
from quanta_tissu.tissdb.search.query import parse_query
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.check import legs_of
from quanta_tissu.tissdb.tissql.reference import Environment, evaluate

_ALL = 2**31 - 1
"""As many as there are."""


def beside(condition: ir.Condition | None) -> ir.Condition:
    """A WHERE without its MATCH and NEAR."""
    items = condition.items if isinstance(condition, ir.All) else (condition,) if condition is not None else ()
    rest: list[ir.Condition] = []
    for item in items:
        if isinstance(item, ir.All):
            rest.append(beside(item))
        elif not isinstance(item, ir.Match | ir.Near):
            rest.append(item)
    return ir.All(tuple(rest)) if rest else ir.Truth(True)


def find_scores(
    text: str,
    where: ir.Condition | None,
    info: CollectionInfo,
    connection: Connection,
    others: Filter,
    scores: str,
    env: Environment,
    cache_of: Callable[[Index], VectorCache],
    seq: int,
) -> Mapping[str, str]:
    """What MATCH and NEAR find among the documents that suit all else.

    Args:
        text: The statement.
        where: Its condition.
        info: The collection.
        connection: Sees one state throughout.
        others: The documents that suit the other conditions.
        scores: `Engine.scores` of the engine.
        env: Parameters and moment.
        cache_of: Vectors of an index.
        seq: The number of the log's last entry in this state.

    Returns:
        By index, JSON of pairs of row and score.

    Raises:
        QueryError: There is no such index, or it cannot search for this.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for leg in sorted(legs_of(where), key=lambda leg: isinstance(leg, ir.Near)):  # the nearest k of those of MATCH
        if isinstance(leg, ir.Match):
            index = _index(text, info, leg, "text")
            words = evaluate(leg.words, env)
            try:
                query = parse_query(words)
            except QueryError as error:
                raise _error(text, leg, error.message, error.hint) from None
            found[leg.index] = connection.dialect.text.search(connection, index, query, _ALL, others)
            continue
        _index(text, info, leg, "vector")
        k = evaluate(leg.k, env)
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise _error(text, leg, f"k = {k!r} is no number of documents", "NEAR(index, :vector, 10)")
        vector = evaluate(leg.vector, env)
        if not isinstance(vector, list):
            raise _error(text, leg, f"{vector!r:.40} is no vector", "a list of numbers, as a parameter")
        for pairs in found.values():
            others = Filter(
                f"SELECT o.rid FROM ({others.sql}) AS o JOIN ({scores}) AS m ON m.rid = o.rid",
                (*others.parameters, json.dumps(pairs)),
            )
        request = Request(None, vector, k, vector_index=leg.index, only=others)
        try:
            near = search(connection, info, request, cache_of, seq, env.moment)
        except InvalidDocumentError as error:
            raise _error(text, leg, error.message, error.hint) from None
        found[leg.index] = [(one.rid, one.score) for one in near]
    return {name: json.dumps([[rid, float(score)] for rid, score in pairs]) for name, pairs in found.items()}


def _index(text: str, info: CollectionInfo, leg: ir.Match | ir.Near, kind: Any) -> Index:
    index = info.indexes.get(leg.index)
    if index is None or index.kind != kind:
        known = ", ".join(one.name for one in info.of_kind(kind)) or "none"
        raise _error(
            text,
            leg,
            f"{info.name!r} has no {kind} index {leg.index!r}",
            f"{kind} indexes: {known}; create_index(..., kind={kind!r}) makes one",
        )
    return index


def _error(text: str, leg: ir.Match | ir.Near, message: str, hint: str | None) -> QueryError:
    return QueryError(message, statement=text, start=leg.span[0], end=leg.span[1], hint=hint)
