"""Areas: vectors by the centre that they are nearest to, so that a search can look at near areas only.

This is the inverted file of Jégou, Douze and Schmid (2011, "Product quantization for nearest neighbor search",
section IV). What a search looks at is searched exactly; what it may miss lies in the areas that it left out. Areas
are made of the vectors of one state: those that came or changed after it belong to none, and are always looked at.
Vectors of one area stand together in memory, where they are read three times as fast as when they are scattered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import CorruptionError

LEAST = 4_096
"""Vectors that are looked at in any case: it takes 0.2 ms, and helps where a condition or a query is unusual."""


@dataclass(frozen=True, slots=True)
class Areas:
    """Areas of the vectors in memory.

    Attributes:
        centres: (areas, dimension).
        starts: The place where each begins, and behind the last the first that belongs to none (areas + 1).
        look_at: How many vectors a search looks at.
    """

    centres: NDArray[np.float32]
    starts: NDArray[np.int64]
    look_at: int

    def by_nearness(self, query: NDArray[np.float32], metric: str) -> NDArray[np.int64]:
        """The areas, the most promising first (areas)."""
        scores = self.centres @ query
        if metric == "l2":
            scores -= (self.centres**2).sum(axis=1) / 2
        return np.argsort(-scores, kind="stable")

    def near(
        self, query: NDArray[np.float32], metric: str, k: int, total: int, suits: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """Places of vectors in the areas that are nearest to a query, and of those without an area.

        Args:
            query: (dimension).
            metric: As in `nearest`.
            k: As many are there at least, if so many suit.
            total: How many vectors there are by now.
            suits: Which places suit (total): only they count. By default all.
        """
        wanted = max(k, self.look_at, LEAST)
        if suits is not None and np.count_nonzero(suits) <= wanted:
            return np.flatnonzero(suits)
        beside = np.arange(self.starts[-1], total)
        by_nearness = self.by_nearness(query, metric)
        sizes = np.diff(self.starts)[by_nearness].cumsum()
        parts = [beside if suits is None else beside[suits[beside]]]
        done, found = 0, 0
        while done < len(by_nearness) and found < wanted:
            looked = int(sizes[done - 1]) if done else 0
            # As many areas as would be enough if what suits were spread evenly over all.
            share = found / looked if found else 1.0
            enough = int(np.searchsorted(sizes, looked + (wanted - found) / share)) + 1
            areas = by_nearness[done : max(enough, done + 1)]
            places = np.concatenate([np.arange(self.starts[area], self.starts[area + 1]) for area in areas])
            parts.append(places if suits is None else places[suits[places]])
            found += len(parts[-1])
            done += len(areas)
        return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class Division:
    """Which area each vector of one state belongs to: what is kept in the database, and may be lost.

    Attributes:
        centres: (areas, dimension).
        rids: Rows of the documents, ascending (n).
        areas: The area of each (n).
    """

    centres: NDArray[np.float32]
    rids: NDArray[np.int64]
    areas: NDArray[np.int32]

    def to_bytes(self) -> dict[str, bytes]:
        """Its parts, and a checksum."""
        parts = {
            "centres": self.centres.astype("<f4").tobytes(),
            "rids": self.rids.astype("<i8").tobytes(),
            "areas": self.areas.astype("<i4").tobytes(),
        }
        return parts | {"checksum": _checksum(parts)}

    @staticmethod
    def from_bytes(parts: Mapping[str, bytes], dimension: int) -> Division:
        """What was kept.

        Raises:
            CorruptionError: It is not what was written.
        """
        kept = {name: parts.get(name, b"") for name in ("centres", "rids", "areas")}
        if parts.get("checksum") != _checksum(kept):
            raise CorruptionError(
                "the areas of a vector index are not what was written",
                hint="tune_index makes them again from the vectors, which are kept apart; recall=1 does without",
            )
        return Division(
            np.frombuffer(kept["centres"], "<f4").reshape(-1, dimension).astype(np.float32),
            np.frombuffer(kept["rids"], "<i8").astype(np.int64),
            np.frombuffer(kept["areas"], "<i4").astype(np.int32),
        )

    def order(
        self, rids: NDArray[np.int64], fresh: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """In which order vectors stand together by areas, those of none last, and where in it each area begins.

        Args:
            rids: Rows of the documents, by place.
            fresh: Rows whose vectors came or changed since the division was made.
        """
        count = len(self.centres)
        where = np.minimum(np.searchsorted(self.rids, rids), len(self.rids) - 1)
        known = (self.rids[where] == rids) & ~np.isin(rids, fresh)
        area = np.where(known, self.areas[where], count)
        order: NDArray[np.int64] = np.argsort(area, kind="stable")
        starts: NDArray[np.int64] = np.searchsorted(area[order], np.arange(count + 1))
        return order, starts


def _checksum(parts: Mapping[str, bytes]) -> bytes:
    found = hashlib.sha256()
    for name in sorted(parts):
        found.update(len(parts[name]).to_bytes(8, "little") + parts[name])
    return found.digest()
