"""Search by words, by nearness, or by both: two lists joined into one that says why each document is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from quanta_tissu.errors import DatabaseError, NotFoundError
from quanta_tissu.tissdb.backend import Connection, Row
from quanta_tissu.tissdb.definitions import CollectionInfo, Filter, Index
from quanta_tissu.tissdb.search.cache import VectorCache
from quanta_tissu.tissdb.search.nearest import nearest
from quanta_tissu.tissdb.search.query import Need, parse_query
from quanta_tissu.tissdb.search.vectors import checked

Fusion = Literal["rrf", "weighted"]

_RRF = 60
"""Of reciprocal rank fusion: the higher, the less do first places count (Cormack et al. 2009)."""

_CANDIDATES = 50
"""Documents that each of two legs contributes at least."""


@dataclass(frozen=True, slots=True)
class Leg:
    """What one way of searching says of a document.

    Attributes:
        rank: Its place, from 1.
        score: How well it fits; higher is better.
        ranker: What the score is: `bm25`, `cosine` ...
    """

    rank: int
    score: float
    ranker: str


@dataclass(frozen=True, slots=True)
class Found:
    """A document that was found.

    Attributes:
        rid: The number of its row.
        row: Its id, revision, times and text, as they are stored.
        score: Its score in the joined list.
        text: What words say of it, if they found it.
        vector: What nearness says of it, if it found it.
    """

    rid: int
    row: Row
    score: float
    text: Leg | None
    vector: Leg | None


@dataclass(frozen=True, slots=True)
class Request:
    """What to search for.

    Attributes:
        text: Words.
        vector: A vector, or numbers that are one.
        k: How many documents.
        text_index: Which index of words; the only one by default.
        vector_index: Which index of vectors; the only one by default.
        need: Whether any word is enough, or all must occur.
        fusion: How two lists are joined: `rrf` by ranks, `weighted` by scores brought to 0 ... 1.
        weights: Of words and of nearness.
        only: Documents among which to look.
    """

    text: str | None
    vector: Any
    k: int
    text_index: str | None = None
    vector_index: str | None = None
    need: Need = "any"
    fusion: Fusion = "weighted"
    weights: tuple[float, float] = (1.0, 1.0)
    only: Filter | None = None


def search(
    connection: Connection,
    info: CollectionInfo,
    request: Request,
    cache_of: Callable[[Index], VectorCache],
    seq: int,
    now: int,
) -> list[Found]:
    """The k best documents, best first; never fewer than k if so many qualify.

    Args:
        connection: Sees one state throughout.
        info: The collection.
        request: What to search for.
        cache_of: Vectors of an index.
        seq: The number of the log's last entry in this state.
        now: The moment, in microseconds: what has expired is not found.
    """
    if request.text is None and request.vector is None:
        raise DatabaseError("there is nothing to search for", hint="give text, a vector, or both")
    if not isinstance(request.k, int) or request.k < 1:
        raise DatabaseError(f"k = {request.k!r} is no number of documents", hint="1 or more")
    both = request.text is not None and request.vector is not None
    wanted = max(request.k, _CANDIDATES) if both else request.k
    while True:
        texts = [] if request.text is None else _by_words(connection, info, request, wanted)
        vectors = [] if request.vector is None else _by_nearness(connection, info, request, wanted, cache_of, seq)
        joined = _joined(texts, vectors, request)
        rows = _rows(connection, info, [found.rid for found in joined], now)
        alive = [replace(found, row=rows[found.rid]) for found in joined if found.rid in rows]
        # Expired documents may have taken places; with what is left of both lists there is no more to find.
        if len(alive) >= request.k or max(len(texts), len(vectors)) < wanted:
            alive.sort(key=lambda found: (-found.score, found.row[0]))
            return alive[: request.k]
        wanted *= 4


def _by_words(connection: Connection, info: CollectionInfo, request: Request, limit: int) -> list[tuple[int, Leg]]:
    index = choose(info, "text", request.text_index)
    engine = connection.dialect.text
    found = engine.search(connection, index, parse_query(request.text or "", request.need), limit, request.only)
    return [(rid, Leg(rank, score, engine.ranker)) for rank, (rid, score) in enumerate(found, 1)]


def _by_nearness(
    connection: Connection,
    info: CollectionInfo,
    request: Request,
    limit: int,
    cache_of: Callable[[Index], VectorCache],
    seq: int,
) -> list[tuple[int, Leg]]:
    index = choose(info, "vector", request.vector_index)
    allowed = None
    if request.only is not None:
        rows = connection.rows(request.only.sql, request.only.parameters)
        allowed = np.array([rid for (rid,) in rows], np.int64)
    metric = index.options["metric"]
    snapshot = cache_of(index).at(connection, seq, index.options.get("tuned"))
    found = nearest(snapshot, checked(index, request.vector), metric, limit, allowed)
    return [(rid, Leg(rank, score, metric)) for rank, (rid, score) in enumerate(found, 1)]


def _joined(texts: Sequence[tuple[int, Leg]], vectors: Sequence[tuple[int, Leg]], request: Request) -> list[Found]:
    legs: dict[int, tuple[Leg | None, Leg | None]] = {rid: (leg, None) for rid, leg in texts}
    for rid, leg in vectors:
        legs[rid] = (legs.get(rid, (None, None))[0], leg)
    single = request.text is None or request.vector is None
    text_scale, vector_scale = _scale(texts), _scale(vectors)
    found = []
    for rid, (text, vector) in legs.items():
        if single:
            score = (text or vector or Leg(0, 0, "")).score
        elif request.fusion == "rrf":
            score = sum(
                weight / (_RRF + leg.rank)
                for leg, weight in zip((text, vector), request.weights, strict=True)
                if leg is not None
            )
        else:
            score = request.weights[0] * text_scale(text) + request.weights[1] * vector_scale(vector)
        found.append(Found(rid, (), score, text, vector))
    return found


def _scale(legs: Sequence[tuple[int, Leg]]) -> Callable[[Leg | None], float]:
    """Scores of a list brought to 0 ... 1, the best 1; 0 for what is not in it."""
    if not legs:
        return lambda leg: 0.0
    scores = [leg.score for _, leg in legs]
    low, span = min(scores), max(scores) - min(scores)
    return lambda leg: 0.0 if leg is None else (leg.score - low) / span if span else 1.0


def choose(info: CollectionInfo, kind: Literal["text", "vector"], name: str | None) -> Index:
    """The index of a name, or the only one of its kind.

    Raises:
        NotFoundError: There is none.
        DatabaseError: There are several, and no name.
    """
    indexes = info.of_kind(kind)
    if name is not None:
        for index in indexes:
            if index.name == name:
                return index
    elif len(indexes) == 1:
        return indexes[0]
    known = ", ".join(index.name for index in indexes)
    if name is None and indexes:
        raise DatabaseError(f"collection {info.name!r} has several {kind} indexes", hint=f"name one: {known}")
    example = "dimension=..." if kind == "vector" else "fields=[...]"
    raise NotFoundError(
        f"collection {info.name!r} has no {kind} index" + (f" {name!r}" if name else ""),
        hint=f"{kind} indexes: {known}"
        if known
        else f"create_index(name, kind='{kind}', {example}), or `tissu db index --kind {kind}`",
    )


def _rows(connection: Connection, info: CollectionInfo, rids: Sequence[int], now: int) -> dict[int, Row]:
    """Documents of rows that have not expired."""
    if not rids:
        return {}
    among = ", ".join(map(str, rids))
    rows = connection.rows(
        f"SELECT rid, id, rev, created, updated, expires, {connection.dialect.json_text('doc')} "
        f"FROM {info.table} WHERE rid IN ({among}) AND (expires IS NULL OR expires > ?)",
        (now,),
    )
    return {row[0]: row[1:] for row in rows}
