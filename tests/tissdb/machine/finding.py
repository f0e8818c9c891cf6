"""What a search must find, by brute force: BM25 counted by hand, nearness by NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from quanta_tissu.tissdb.collection import Hit
from quanta_tissu.tissdb.definitions import Term, TextQuery
from tests.tissdb.machine.model import Held, Stored

WORDS = ("ant", "bee", "cat", "catalog", "dog", "dogs", "fox")
_STEMS = {"dogs": "dog"}

_K1, _B = 1.2, 0.75
_LEAST_RARITY = 1e-6

_COMMON = 1e-4
"""More than words that half of the documents have can add to a score."""

Field = tuple[list[str], float]
"""Its words and its weight."""


def matches(query: TextQuery, fields: list[Field]) -> bool:
    """Whether a document suits a query."""

    def there(term: Term) -> bool:
        return _weight(term, fields, weighted=False) > 0

    if any(map(there, query.excluded)):
        return False
    return all(map(there, query.required)) if query.required else any(map(there, query.wanted))


class Words:
    """A text index over documents, of which those that have expired still count for how rare a word is."""

    def __init__(self, held: Held, index: dict[str, Any]) -> None:
        self._stemming = index["stemming"]
        weights = index["weights"] or [1.0] * len(index["fields"])
        self.fields = {
            id: [
                (self._split(stored.value.get(name)), weight)
                for name, weight in zip(index["fields"], weights, strict=True)
            ]
            for id, stored in held.documents.items()
        }

    def _split(self, value: Any) -> list[str]:
        if isinstance(value, list):
            return [word for item in value for word in self._split(item)]
        return [self.stem(word) for word in value.split()] if isinstance(value, str) else []

    def stem(self, word: str) -> str:
        return _STEMS.get(word, word) if self._stemming else word

    def read(self, query: TextQuery) -> TextQuery:
        """A query of stems."""

        def stemmed(terms: Sequence[Term]) -> tuple[Term, ...]:
            return tuple(Term(tuple(map(self.stem, term.words)), term.prefix) for term in terms)

        return TextQuery(stemmed(query.wanted), stemmed(query.required), stemmed(query.excluded))

    def bm25(self, query: TextQuery) -> Callable[[str], float]:
        """The score of a document, for queries of wanted words alone (Robertson and Zaragoza 2009)."""
        total = len(self.fields)
        lengths = {id: sum(len(words) for words, _ in fields) for id, fields in self.fields.items()}
        average = sum(lengths.values()) / max(total, 1)
        rarity = {}
        for term in query.wanted:
            having = sum(_weight(term, fields, weighted=False) > 0 for fields in self.fields.values())
            rarity[term] = max(math.log((total - having + 0.5) / (having + 0.5)), _LEAST_RARITY)

        def score(id: str) -> float:
            found = 0.0
            for term in query.wanted:
                count = _weight(term, self.fields[id], weighted=True)
                length = 1 - _B + _B * lengths[id] / (average or 1)
                found += rarity[term] * count * (_K1 + 1) / (count + _K1 * length)
            return found

        return score


def _weight(term: Term, fields: list[Field], *, weighted: bool) -> float:
    return sum(_occurrences(term, words) * (weight if weighted else 1) for words, weight in fields)


def _occurrences(term: Term, words: list[str]) -> int:
    size = len(term.words)
    found = 0
    for place in range(len(words) - size + 1):
        *before, last = words[place : place + size]
        ends = last.startswith(term.words[-1]) if term.prefix else last == term.words[-1]
        found += ends and before == list(term.words[:-1])
    return found


def nearness(metric: str, query: Sequence[float], vector: Sequence[float]) -> float:
    """How near two vectors are; higher is nearer."""
    a, b = np.asarray(query, np.float64), np.asarray(vector, np.float64)
    if metric == "l2":
        return -float(np.linalg.norm(a - b))
    product = float(a @ b)
    return product / float(np.linalg.norm(a) * np.linalg.norm(b)) if metric == "cosine" else product


def check_best(
    hits: list[Hit], candidates: list[Stored], k: int, score: Callable[[str], float] | None, tolerance: float
) -> None:
    """The hits of one way of searching are k of the candidates, with their own scores, and none is better.

    Args:
        hits: What the database found.
        candidates: All that qualify.
        k: How many were asked for.
        score: What the score of each must be; None if only the order of the hits' own scores is known.
        tolerance: How far scores may be off.
    """
    by_id = {one.id: one for one in candidates}
    assert [hit.document for hit in hits] == [by_id[hit.document.id].document for hit in hits]
    assert len({hit.document.id for hit in hits}) == len(hits) == min(k, len(candidates))
    assert all(a.score >= b.score for a, b in pairwise(hits))
    if score is None or not hits:
        return
    for hit in hits:
        assert math.isclose(hit.score, score(hit.document.id), rel_tol=tolerance, abs_tol=tolerance)
    found = {hit.document.id for hit in hits}
    worst = min(score(id) for id in found)
    assert all(score(id) <= worst + 2 * tolerance for id in by_id.keys() - found)


def check_fused(
    hits: list[Hit], candidates: list[Stored], k: int, weights: tuple[float, float], fusion: str
) -> None:
    """The hits of both ways are k of the candidates, each with the score that its places say."""
    by_id = {one.id: one for one in candidates}
    assert [hit.document for hit in hits] == [by_id[hit.document.id].document for hit in hits]
    assert len({hit.document.id for hit in hits}) == len(hits) == min(k, len(candidates))
    keys = [(-hit.score, hit.document.id) for hit in hits]
    assert keys == sorted(keys)
    for hit in hits:
        legs = [(leg, weight) for leg, weight in zip((hit.text, hit.vector), weights, strict=True) if leg]
        assert legs
        if fusion == "rrf":
            assert math.isclose(hit.score, sum(weight / (60 + leg.rank) for leg, weight in legs), rel_tol=1e-12)
        else:  # scores of each way are brought to 0 ... 1
            assert 0 <= hit.score <= sum(weight for _, weight in legs)
    for way in ("text", "vector"):
        legs = sorted((leg.rank, -leg.score) for hit in hits if (leg := getattr(hit, way)))
        assert len({rank for rank, _ in legs}) == len(legs)
        assert [score for _, score in legs] == sorted(score for _, score in legs)
