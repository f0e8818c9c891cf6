"""The vectors nearest to a query, exactly.

All products are estimated with few bits, in integers, which takes a third of the time. Each estimate is wrong by
no more than a known bound, so those vectors that cannot be among the nearest are ruled out for certain; the few
that remain are computed. Where there are few vectors, all are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb import codes
from quanta_tissu.tissdb.search.areas import Areas

_MANY = 4_000_000
"""Numbers in memory from which on it is worth loading the kernels that estimate: 10,000 vectors of 384."""

_FEW = 400_000
"""Numbers to look at that are computed as fast as they are estimated: 1,000 vectors of 384 dimensions."""

_AT_ONCE = 4096
"""Vectors that are computed at once."""

_EPSILON = 2.0**-24

_ORDINARY = (2.0**-40, 2.0**40)
"""Lengths between which float32 is enough."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Vectors at one state of the database.

    Attributes:
        storage: The form in which they are stored.
        dimension: How many numbers a vector has.
        rids: Rows of the documents (n).
        gone: Places whose vectors are gone.
        longest: The greatest length of a vector.
        columns: By name: `bits` (n, bytes) of `bit`; `codes` (n, dimension) and `scales` (n) of the others, in 8
            bits; and of `float32` also `vectors` (n, dimension), and `errors` (n): how far 8 bits are from them.
            `squares` (n): the squared lengths.
        areas: How they are divided, if a search is to look at near areas only.
    """

    storage: str
    dimension: int
    rids: NDArray[np.int64]
    gone: NDArray[np.int64]
    longest: float
    columns: Mapping[str, NDArray[Any]]
    areas: Areas | None = None

    def vectors(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors (m, dimension) at some places."""
        vectors: NDArray[np.float32]
        if self.storage == "float32":
            vectors = self.columns["vectors"][places]
            return vectors
        if self.storage == "bit":
            return codes.signs(self.columns["bits"][places], self.dimension)
        vectors = self.columns["codes"][places] * self.columns["scales"][places, None]
        return vectors


def columns_of(rows: NDArray[Any], storage: str, dimension: int) -> dict[str, NDArray[Any]]:
    """The columns of a snapshot for stored vectors."""
    if storage == "bit":
        return {"bits": rows, "squares": np.ones(len(rows), np.float32)}
    if storage == "int8":
        numbers, scales = codes.split(rows)
        lengths = np.einsum("nd,d->n", numbers.astype(np.float32) ** 2, np.ones(dimension, np.float32))
        with np.errstate(over="ignore"):  # `_ordinary` sees it
            return {"codes": numbers, "scales": scales, "squares": lengths * scales**2}
    numbers, scales = codes.rounded(rows)
    rest = rows - numbers * scales[:, None]
    return {
        "vectors": rows,
        "codes": numbers,
        "scales": scales,
        "errors": np.sqrt(np.einsum("nd,nd->n", rest, rest)),
        "squares": np.einsum("nd,nd->n", rows, rows),
    }


def nearest(
    snapshot: Snapshot,
    query: NDArray[np.float32],
    metric: str,
    k: int,
    allowed: NDArray[np.int64] | None = None,
) -> list[tuple[int, float]]:
    """The rows of the k vectors nearest to a query, nearest first; of equally near ones the oldest.

    Args:
        snapshot: Vectors; for `cosine` of length one, as the query.
        query: (dimension).
        metric: `cosine` and `dot`: the largest products; `l2`: the smallest distance.
        k: How many.
        allowed: Rows among which to look; by default all.

    Returns:
        Rows and scores: the cosine, the product, or minus the distance.
    """
    total = len(snapshot.rids)
    places = _among(snapshot, query, metric, k, allowed)
    count = total if places is None else len(places)
    if count == 0:
        return []
    ordinary = _ordinary(snapshot, query)
    many = total * snapshot.dimension >= _MANY and count * snapshot.dimension >= _FEW
    if k < count and many and ordinary:
        places = _possible(snapshot, query, metric, k, places)
    elif places is None:
        places = np.arange(total)
    scores = _scores(snapshot, query, metric, places, np.float32 if ordinary else np.float64)
    if k < len(scores):
        edge = np.partition(scores, len(scores) - k)[len(scores) - k]
        best = np.flatnonzero(scores >= edge)
        places, scores = places[best], scores[best]
    rids = snapshot.rids[places]
    order = np.lexsort((rids, -scores))[:k]
    return list(zip(rids[order].tolist(), scores[order].tolist(), strict=True))


def _among(
    snapshot: Snapshot, query: NDArray[np.float32], metric: str, k: int, allowed: NDArray[np.int64] | None
) -> NDArray[np.int64] | None:
    """The places where to look; None for all."""
    total = len(snapshot.rids)
    suits = None
    if allowed is not None:
        suits = np.isin(snapshot.rids, allowed)
        suits[snapshot.gone] = False
    elif len(snapshot.gone):
        suits = np.ones(total, np.bool_)
        suits[snapshot.gone] = False
    if snapshot.areas is not None:
        return snapshot.areas.near(query, metric, k, total, suits)
    return None if suits is None else np.flatnonzero(suits)


def _ordinary(snapshot: Snapshot, query: NDArray[np.float32]) -> bool:
    """Whether neither squares nor what rounding takes away leave the range of float32, as the bounds assume."""
    length = float(np.linalg.norm(query.astype(np.float64)))
    least, most = _ORDINARY
    return least < snapshot.longest < most and (length == 0 or least < length < most)


def _scores(
    snapshot: Snapshot,
    query: NDArray[np.float32],
    metric: str,
    places: NDArray[np.int64],
    kind: type[np.floating[Any]],
) -> NDArray[np.float64]:
    """Scores of vectors. Equal ones score equally, unlike in BLAS, which adds numbers as their place decides."""
    parts = []
    for start in range(0, len(places), _AT_ONCE):
        vectors = snapshot.vectors(places[start : start + _AT_ONCE]).astype(kind, copy=False)
        if metric == "l2":
            vectors = vectors - query
            parts.append(-np.sqrt(np.einsum("nd,nd->n", vectors, vectors)))
        else:
            parts.append(np.einsum("nd,d->n", vectors, query.astype(kind, copy=False)))
    return np.concatenate(parts).astype(np.float64)


def _possible(
    snapshot: Snapshot, query: NDArray[np.float32], metric: str, k: int, places: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Of some places, or all, those whose vectors may be among the k nearest."""
    from quanta_tissu.tissdb.search.kernels import products_of_bits, products_of_bytes

    def chosen(name: str) -> NDArray[Any]:
        return columns[name] if places is None else columns[name][places]

    columns, dimension = snapshot.columns, snapshot.dimension
    length = float(np.linalg.norm(query.astype(np.float64)))
    slack = 4 * dimension * _EPSILON * length * snapshot.longest  # what sums of floats are wrong by
    if snapshot.storage == "bit":
        values = products_of_bits(chosen("bits"), query / np.sqrt(np.float32(dimension)))
    else:
        short, scale = _shortened(query)
        values = products_of_bytes(columns["codes"], columns["scales"], short, places)
        values *= np.float32(scale)
        slack += float(np.linalg.norm(query - short * np.float64(scale))) * snapshot.longest
    if metric == "l2":
        # |q - x|² = |q|² - (2 qx - |x|²): the last is what is to be large.
        values *= 2
        values -= chosen("squares")
        slack = 2 * slack + 4 * dimension * _EPSILON * snapshot.longest**2 + 2 * _rounding_of_l2(query, snapshot)
    if "errors" not in columns:
        least, most = values - np.float32(slack), values + np.float32(slack)
    else:
        bounds = chosen("errors") * np.float32((2 if metric == "l2" else 1) * length) + np.float32(slack)
        least, most = values - bounds, values + bounds
    edge = np.partition(least, len(least) - k)[len(least) - k]
    possible = np.flatnonzero(most >= edge)
    return possible if places is None else places[possible]


def _rounding_of_l2(query: NDArray[np.float32], snapshot: Snapshot) -> float:
    """By how much a squared distance is wrong that is summed in float32."""
    farthest = float(np.linalg.norm(query.astype(np.float64))) + snapshot.longest
    return 4 * snapshot.dimension * _EPSILON * farthest**2


def _shortened(query: NDArray[np.float32]) -> tuple[NDArray[np.int16], float]:
    """A query in at most 16 bits, so few that a sum of products with 8 bits fits into 32, and its scale."""
    most = min(2**15 - 1, (2**31 - 1) // (127 * len(query)))
    scale = float(np.abs(query).max()) / most or 1.0
    return np.rint(query / np.float64(scale)).astype(np.int16), scale
