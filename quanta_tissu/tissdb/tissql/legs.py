"""MATCH and NEAR: search finds documents and their scores, which the statement's SQL then joins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from quanta_tissu.errors import InvalidDocumentError, QueryError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import CollectionInfo, Filter, Index
from quanta_tissu.tissdb.search.cache import VectorCache
from quanta_tissu.tissdb.search.hybrid import Request, search
from quanta_tissu.tissdb.search.query import parse_query
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.check import walk
from quanta_tissu.tissdb.tissql.reference import Environment, evaluate

_ALL = 2**31 - 1
"""As many as there are."""


def without(condition: ir.Condition | None, kinds: Any) -> ir.Condition:
    """A WHERE without what is joined to the rest by AND and speaks of MATCH or NEAR, or of one of them."""
    items = condition.items if isinstance(condition, ir.All) else (condition,) if condition is not None else ()
    rest: list[ir.Condition] = []
    for item in items:
        if isinstance(item, ir.All):
            rest.append(without(item, kinds))
        elif not any(isinstance(part, kinds) for part in walk(item)):
            rest.append(item)
    return ir.All(tuple(rest)) if rest else ir.Truth(True)


def find_words(
    text: str, leg: ir.Match, info: CollectionInfo, connection: Connection, others: Filter | None, env: Environment
) -> str:
    """What MATCH finds.

    Args:
        text: The statement.
        leg: The condition.
        info: The collection.
        connection: Sees one state throughout.
        others: Documents that suit other conditions, if that is known; it saves looking at more.
        env: Parameters and moment.

    Returns:
        JSON of pairs of row and score.

    Raises:
        QueryError: There is no such index, or it cannot search for this.
    """
    index = _index(text, info, leg, "text")
    try:
        query = parse_query(evaluate(leg.words, env))
    except QueryError as error:
        raise _error(text, leg, error.message, error.hint) from None
    return _pairs(connection.dialect.text.search(connection, index, query, _ALL, others))


def find_near(
    text: str,
    leg: ir.Near,
    info: CollectionInfo,
    connection: Connection,
    others: Filter,
    env: Environment,
    cache_of: Callable[[Index], VectorCache],
    seq: int,
) -> str:
    """What NEAR finds among the documents that suit all else.

    Args:
        text: As for `find_words`, and so are `leg`, `info`, `connection` and `env`.
        leg: The condition.
        info: The collection.
        connection: The connection.
        others: The documents that suit all else.
        env: Parameters and moment.
        cache_of: Vectors of an index.
        seq: The number of the log's last entry in this state.

    Returns:
        JSON of pairs of row and score.

    Raises:
        QueryError: There is no such index, or it cannot search for this.
    """
    _index(text, info, leg, "vector")
    k = evaluate(leg.k, env)
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise _error(text, leg, f"k = {k!r} is no number of documents", "NEAR(index, :vector, 10)")
    vector = evaluate(leg.vector, env)
    if not isinstance(vector, list):
        raise _error(text, leg, f"{vector!r:.40} is no vector", "a list of numbers, as a parameter")
    request = Request(None, vector, k, vector_index=leg.index, only=others)
    try:
        near = search(connection, info, request, cache_of, seq, env.moment)
    except InvalidDocumentError as error:
        raise _error(text, leg, error.message, error.hint) from None
    return _pairs((one.rid, one.score) for one in near)


def _pairs(found: Iterable[tuple[int, float]]) -> str:
    return json.dumps([[rid, float(score)] for rid, score in found])


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
