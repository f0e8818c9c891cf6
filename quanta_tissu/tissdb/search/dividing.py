"""Dividing vectors into areas by k-means, with as many centres as the square root of their number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.search.areas import Division
from quanta_tissu.tissdb.search.nearest import Snapshot

_OF_AN_AREA = 64
"""Vectors for each centre from which the centres are learned."""

_TURNS = 8
"""Of k-means: the last ones move hardly anything."""

_AT_ONCE = 8192
"""Vectors compared with all centres at once."""


def divide(snapshot: Snapshot, metric: str) -> Division:
    """Divide vectors into areas; the same vectors always into the same."""
    places = np.delete(np.arange(len(snapshot.rids)), snapshot.gone)
    places = places[np.argsort(snapshot.rids[places])]
    random = np.random.default_rng(len(places))
    count = max(1, round(len(places) ** 0.5))
    some = np.sort(random.permutation(len(places))[: _OF_AN_AREA * count])
    centres = _centres(snapshot.vectors(places[some]), count, metric, random)
    areas = [_areas(snapshot.vectors(part), centres) for part in _parts(places)]
    return Division(centres, snapshot.rids[places], np.concatenate(areas))


def _areas(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int32]:
    """The centre (n) at the smallest distance from each of some vectors (n, dimension)."""
    scores = vectors @ centres.T
    scores -= (centres**2).sum(axis=1) / 2  # |x - c|² = |x|² - 2 (xc - |c|²/2)
    nearest: NDArray[np.int32] = scores.argmax(axis=1).astype(np.int32)
    return nearest


def _centres(
    vectors: NDArray[np.float32], count: int, metric: str, random: np.random.Generator
) -> NDArray[np.float32]:
    """Centres (count, dimension) by k-means (Lloyd 1982); those of directions have length one."""
    centres = vectors[random.choice(len(vectors), count, replace=False)]
    for _ in range(_TURNS):
        areas = np.concatenate([_areas(part, centres) for part in _parts(vectors)])
        order = np.argsort(areas, kind="stable")
        filled, starts, sizes = np.unique(areas[order], return_index=True, return_counts=True)
        centres = vectors[random.choice(len(vectors), count, replace=False)]  # where an area is empty
        centres[filled] = np.add.reduceat(vectors[order], starts, axis=0) / sizes[:, None]
        if metric == "cosine":
            lengths = np.linalg.norm(centres, axis=1, keepdims=True)
            centres /= np.where(lengths > 0, lengths, np.float32(1))
    return centres


def _parts(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(rows), _AT_ONCE):
        yield rows[start : start + _AT_ONCE]
