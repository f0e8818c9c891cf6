"""Tuning: how much of an index a search must look at for a recall that its user asks for, measured on its vectors.

For each of some queries the nearest are found exactly. A search that looks at areas in the order of their nearness
finds one of them if it gets as far as its area, so one exact search tells the recall of every setting. The
cheapest is taken whose recall is surely high enough, and only if searches are faster for it.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Index
from quanta_tissu.tissdb.search.areas import LEAST, Areas, Division
from quanta_tissu.tissdb.search.cache import VectorCache
from quanta_tissu.tissdb.search.dividing import divide
from quanta_tissu.tissdb.search.nearest import Snapshot, nearest
from quanta_tissu.tissdb.search.vectors import checked

FEWEST = 20_000
"""Vectors below which an exact search is as fast."""

QUERIES = 1_000
"""Stored vectors that are looked for."""

_TIMED = 30
"""Queries whose searches are timed, both ways in turns."""

_GAIN = 0.8
"""Share of the time of an exact search that one of areas may take at most."""

_SURE = 1.6449
"""Standard deviations of the normal distribution below which 95 % lie."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What tuning an index has found.

    Attributes:
        search: How its vectors are searched from now on: `exact` or `approximate`.
        why: Why so, in words.
        recall: The share of the k nearest that an approximate search has found; 1 if it is exact.
        at_least: What the recall is with 95 % certainty at least.
        k: How many nearest were looked for.
        queries: For how many vectors.
        vectors: Among how many.
        look_at: How many of them an approximate search looks at.
        seconds: What it takes in the middle; None where it was not measured.
        exact_seconds: What an exact one takes.
    """

    search: str
    why: str
    recall: float
    at_least: float
    k: int
    queries: int
    vectors: int
    look_at: int
    seconds: float | None = None
    exact_seconds: float | None = None


def tune(
    connection: Connection, index: Index, cache: VectorCache, seq: int, recall: float, k: int, queries: Any
) -> tuple[Tuning, Division | None]:
    """Find out how to search an index.

    Args:
        connection: Sees one state throughout.
        index: Which.
        cache: Its vectors in memory.
        seq: The number of the log's last entry in this state.
        recall: The share of the nearest that is to be found; 1: search exactly.
        k: How many nearest.
        queries: Vectors to look for (n, dimension); by default stored ones, each of which is not to find itself.

    Raises:
        DatabaseError: `recall` or `k` cannot be.
    """
    if isinstance(recall, bool) or not isinstance(recall, int | float) or not 0 < recall <= 1:
        raise DatabaseError(f"recall = {recall!r} is no share", hint="above 0, at most 1: recall=0.95")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise DatabaseError(f"k = {k!r} is no number of documents", hint="1 or more")
    snapshot = cache.at(connection, seq)
    there = len(snapshot.rids) - len(snapshot.gone)
    if recall == 1:
        return _exact("recall 1 was asked for", k, there), None
    if there < FEWEST or k >= there:
        why = f"{there:,} vectors are searched exactly as fast; from {FEWEST:,} on it may be worth it"
        return _exact(why, k, there), None
    metric = index.options["metric"]
    wanted, selves = _queries(index, snapshot, queries)
    division = divide(snapshot, metric)
    divided, areas = _divided(snapshot, division)
    needed = _needed(divided, areas, wanted, selves, metric, k)
    look_at = _cheapest(needed, recall)
    if look_at is None:
        best = _bound(1.0, len(needed))
        why = f"{len(needed)} queries can show a recall of {best:.4f} at most: give more of them"
        return _exact(why, k, there, len(needed)), None
    found = float((needed <= look_at).mean())
    near = replace(divided, areas=replace(areas, look_at=look_at))
    exact_seconds, seconds = _timed(divided, near, wanted, metric, k)
    tuning = Tuning(
        "approximate",
        f"{look_at:,} of {there:,} vectors are enough",
        found,
        _bound(found, len(needed)),
        k,
        len(needed),
        there,
        look_at,
        seconds,
        exact_seconds,
    )
    if seconds > _GAIN * exact_seconds:
        why = f"{look_at:,} of {there:,} vectors would have to be looked at, which is not faster"
        return replace(tuning, search="exact", why=why, recall=1.0, at_least=1.0), None
    return tuning, division


def tuned_options(index: Index, tuning: Tuning, seq: int) -> dict[str, Any]:
    """The options of an index with what tuning has found; without, where that is to search exactly."""
    options = {name: value for name, value in index.options.items() if name != "tuned"}
    return options if tuning.search == "exact" else options | {"tuned": asdict(tuning) | {"seq": seq}}


def _exact(why: str, k: int, vectors: int, queries: int = 0) -> Tuning:
    return Tuning("exact", why, 1.0, 1.0, k, queries, vectors, vectors)


def _queries(index: Index, snapshot: Snapshot, queries: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vectors to look for, and of stored ones their rows, which do not count as found; of others -1."""
    if queries is not None:
        rows = [checked(index, vector) for vector in queries]
        if not rows:
            raise DatabaseError("there are no queries", hint="leave them out to take stored vectors")
        return np.array(rows), np.full(len(rows), -1)
    places = np.delete(np.arange(len(snapshot.rids)), snapshot.gone)
    chosen = np.random.default_rng(0).choice(places, min(QUERIES, len(places)), replace=False)
    return snapshot.vectors(chosen), snapshot.rids[chosen]


def _divided(snapshot: Snapshot, division: Division) -> tuple[Snapshot, Areas]:
    """The vectors in the order of their areas, without those that are gone."""
    there = np.delete(np.arange(len(snapshot.rids)), snapshot.gone)
    order, starts = division.order(snapshot.rids[there], np.empty(0, np.int64))
    places = there[order]
    columns = {name: column[places] for name, column in snapshot.columns.items()}
    there_now = replace(snapshot, rids=snapshot.rids[places], gone=np.empty(0, np.int64), columns=columns)
    return there_now, Areas(division.centres, starts, len(places))


def _needed(
    snapshot: Snapshot, areas: Areas, queries: NDArray[np.float32], selves: NDArray[np.int64], metric: str, k: int
) -> NDArray[np.int64]:
    """How many vectors a search must be ready to look at to find each of the nearest (queries, k)."""
    by_rid = np.argsort(snapshot.rids)
    sorted_rids, sizes = snapshot.rids[by_rid], np.diff(areas.starts)
    needed = []
    for query, itself in zip(queries, selves, strict=True):
        rids = [rid for rid, _ in nearest(snapshot, query, metric, k + 1) if rid != itself][:k]
        places = by_rid[np.searchsorted(sorted_rids, rids)]
        by_nearness = areas.by_nearness(query, metric)
        before = np.empty(len(sizes), np.int64)
        before[by_nearness] = sizes[by_nearness].cumsum() - sizes[by_nearness]
        needed.append(before[np.searchsorted(areas.starts, places, side="right") - 1] + 1)
    return np.array(needed)


def _cheapest(needed: NDArray[np.int64], recall: float) -> int | None:
    """The fewest vectors to look at for a recall that is surely reached; None if so few queries cannot show it."""
    queries = len(needed)
    ordered = np.sort(needed, axis=None)
    for found in range(math.ceil(recall * ordered.size), ordered.size + 1):
        if _bound(found / ordered.size, queries) >= recall:
            return max(LEAST, int(ordered[found - 1]))
    return None


def _bound(share: float, count: int) -> float:
    """Above what a share lies with 95 % certainty that was seen in a sample (Wilson 1927).

    The neighbours of one query are found or missed together, so it is queries that count. A share of some of them
    found varies less than one of all or nothing, so the bound errs on the safe side.
    """
    z = _SURE**2 / count
    return (share + z / 2 - math.sqrt(z * (share * (1 - share) + z / 4))) / (1 + z)


def _timed(
    exact: Snapshot, near: Snapshot, queries: NDArray[np.float32], metric: str, k: int
) -> tuple[float, float]:
    """Seconds that a search takes in the middle, exactly and of areas."""
    times: tuple[list[float], list[float]] = ([], [])
    for query in queries[:_TIMED]:
        for snapshot, taken in zip((exact, near), times, strict=True):
            start = time.perf_counter()
            nearest(snapshot, query, metric, k)
            taken.append(time.perf_counter() - start)
    return float(np.median(times[0])), float(np.median(times[1]))
