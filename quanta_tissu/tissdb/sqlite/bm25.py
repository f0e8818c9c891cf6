"""BM25 over lists of postings in memory: number for number what FTS5's `bm25` gives, for all documents at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tissdb.definitions import Term, TextQuery

_K1, _B = 1.2, 0.75
"""How soon repetition counts no more, and how much a document's length counts (Robertson & Zaragoza 2009)."""

_LEAST_RARITY = 1e-6
"""Of a term that half of the documents have."""

_BLOCK = 64
"""Documents of which only the best is looked at to find a bound."""


class Postings(NamedTuple):
    """Where a term occurs.

    Attributes:
        places: Documents that have it, by their places among all, ascending (n) int32.
        counts: How often each has it, by the weights of its fields (n) float32, or float64 if there are weights.
    """

    places: NDArray[np.int32]
    counts: NDArray[Any]


def norms_of(lengths: NDArray[np.int64], documents: int, words: int) -> NDArray[np.float64]:
    """What BM25 adds to a count below the fraction line, for each document (n): the longer, the more.

    Args:
        lengths: Words of each document (n).
        documents: How many documents there are.
        words: How many words they have together.
    """
    average = words / documents if words else 1.0
    return np.asarray(_K1 * (1 - _B + _B * lengths / average), np.float64)


def best(
    query: TextQuery,
    lists: Mapping[Term, Postings],
    norms: NDArray[np.float64],
    documents: int,
    limit: int,
    allowed: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best documents for a query.

    Every product and sum is done in FTS5's order, so that scores are equal to the bit and ties stay ties.

    Args:
        query: What to look for: wanted terms, or required ones.
        lists: Postings of its terms.
        norms: Of `norms_of` (n).
        documents: How many documents there are, for the rarity of terms.
        limit: How many at most.
        allowed: Places of documents that may be found; None for all.

    Returns:
        Places and scores, the best first, and of equal ones the first.
    """
    scores = np.zeros(len(norms))

    def add(term: Term) -> None:
        places = lists[term].places.astype(np.intp)
        score = lists[term].counts.astype(np.float64)
        below = norms.take(places)
        below += score
        score *= _K1 + 1.0
        score /= below
        score *= _rarity(len(places), documents)
        score += scores.take(places)
        scores[places] = score

    for term in query.required or query.wanted:
        add(term)
    for term in query.required:
        _keep(scores, lists[term].places)
    for term in query.excluded:
        scores[lists[term].places] = 0.0
    if allowed is not None:
        _keep(scores, allowed)
    found = np.flatnonzero(scores >= _bound(scores, limit))
    order = np.argsort(-scores[found], kind="stable")[:limit]
    return found[order], scores[found[order]]


def _rarity(having: int, documents: int) -> float:
    rarity = math.log((documents - having + 0.5) / (having + 0.5)) if documents > having else 0.0
    return rarity if rarity > 0.0 else _LEAST_RARITY


def _keep(scores: NDArray[np.float64], places: NDArray[Any]) -> None:
    others = np.ones(len(scores), bool)
    others[places] = False
    scores[others] = 0.0


def _bound(scores: NDArray[np.float64], limit: int) -> float:
    """A score above 0 that as many documents reach, if as many have one: of the best of each block, the last."""
    blocks = len(scores) // _BLOCK
    if blocks > limit:
        tops = scores[: blocks * _BLOCK].reshape(_BLOCK, blocks).max(axis=0)
        bound = float(np.partition(tops, -limit)[-limit])
        if bound > 0.0:
            return bound
    return math.ulp(0.0)
