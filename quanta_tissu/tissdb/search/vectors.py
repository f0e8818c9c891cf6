"""Vector indexes: a vector for every document that was given one, found by its nearness to another.

The bytes in the database are the truth. What is searched is a copy in memory, made from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import DatabaseError, InvalidDocumentError
from quanta_tissu.tissdb.backend import Connection, Dialect
from quanta_tissu.tissdb.codes import STORAGES, decode, encode, storage_of
from quanta_tissu.tissdb.definitions import CollectionInfo, Index
from quanta_tissu.tissdb.values import Value

METRICS = ("cosine", "dot", "l2")

_OPTIONS = {"dimension", "metric", "storage"}

_MOST_DIMENSIONS = 16_000

_UNIT_ERROR = 2.0**-22
"""How far the length of a vector may be from one after it was divided by its length, in float32."""


class VectorKeeper:
    """As `Keeper`: checks vectors and hands their numbers to the engine."""

    def check(self, index: Index) -> None:
        """As `Keeper`."""
        for name in index.options:
            if name not in _OPTIONS:
                raise DatabaseError(
                    f"a vector index has no option {name!r}", hint=f"options: {', '.join(sorted(_OPTIONS))}"
                )
        dimension = index.options.get("dimension")
        if not isinstance(dimension, int) or not 0 < dimension <= _MOST_DIMENSIONS:
            raise DatabaseError(
                f"vector index {index.name!r} has dimension = {dimension!r}",
                hint=f"dimension=384, say: how many numbers its vectors have, 1 to {_MOST_DIMENSIONS:,}",
            )
        metric = index.options.setdefault("metric", "cosine")
        if metric not in METRICS:
            raise DatabaseError(f"metric = {metric!r} is unknown", hint=f"one of {', '.join(METRICS)}")
        storage = index.options.setdefault("storage", "float32")
        if storage not in STORAGES:
            raise DatabaseError(f"storage = {storage!r} is unknown", hint=f"one of {', '.join(STORAGES)}")
        if storage == "bit" and metric != "cosine":
            raise DatabaseError(
                f"vectors stored in bits have a direction and no length, which {metric!r} needs",
                hint="metric='cosine', or storage='int8'",
            )

    def create(self, connection: Connection, info: CollectionInfo, index: Index) -> None:
        """As `Keeper`."""
        connection.dialect.vectors.create(connection, index)

    def drop(self, connection: Connection, index: Index) -> None:
        """As `Keeper`."""
        connection.dialect.vectors.drop(connection, index)

    def prepare(
        self, dialect: Dialect, index: Index, values: Sequence[dict[str, Value]], vectors: Sequence[Any]
    ) -> Sequence[Any]:
        """As `Keeper`: each vector as the engine stores it, None where there is none."""
        there = [checked(index, vector) for vector in vectors if vector is not None]
        if not there:
            return vectors
        rows = there if storage_of(index) == "float32" else _stored(index, np.array(there))
        stored = map(dialect.vectors.as_stored, rows)
        return [None if vector is None else next(stored) for vector in vectors]

    def insert(self, connection: Connection, index: Index, seq: int, rows: Sequence[tuple[int, Any]]) -> None:
        """As `Keeper`; documents without a vector are not in the index."""
        there = [row for row in rows if row[1] is not None]
        if there:
            connection.dialect.vectors.store(connection, index, seq, there)

    def update(
        self,
        connection: Connection,
        index: Index,
        seq: int,
        rid: int,
        old: dict[str, Value],
        new: dict[str, Value],
        vector: Any,
    ) -> None:
        """As `Keeper`."""
        if vector is not None:
            [stored] = self.prepare(connection.dialect, index, [new], [vector])
            connection.dialect.vectors.store(connection, index, seq, [(rid, stored)])

    def delete(self, connection: Connection, index: Index, seq: int, rids: Sequence[int]) -> None:
        """As `Keeper`."""
        connection.dialect.vectors.delete(connection, index, seq, rids)


VECTOR = VectorKeeper()


def _stored(index: Index, vectors: NDArray[np.float32]) -> NDArray[Any]:
    return encode(vectors, storage_of(index), unit=index.options["metric"] == "cosine")


def given(index: Index, stored: NDArray[Any]) -> NDArray[np.float32]:
    """The vector (dimension) that a stored one stands for."""
    [vector] = decode(stored[None], storage_of(index), index.options["dimension"])
    return vector  # type: ignore[no-any-return]


def checked(index: Index, vector: Any) -> NDArray[np.float32]:
    """A vector as the index stores it: float32, of length one where nearness is an angle.

    Raises:
        InvalidDocumentError: It has another dimension, no numbers, or no direction.
    """
    dimension, name = index.options["dimension"], index.name
    if type(vector) is np.ndarray and vector.dtype == np.float32:
        numbers = vector
    else:
        try:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
                numbers = np.asarray(vector, dtype=np.float32)
        except (TypeError, ValueError):
            raise InvalidDocumentError(
                f"the vector for {name!r} is no list of numbers", path=f"_vectors.{name}"
            ) from None
    if numbers.shape != (dimension,):
        raise InvalidDocumentError(
            f"the vector for {name!r} has shape {numbers.shape}; the index holds vectors of {dimension} numbers",
            path=f"_vectors.{name}",
        )
    exact = numbers.astype(np.float64)
    square = float(exact @ exact)  # of float32 it cannot overflow: no number means that one of them is none
    if not math.isfinite(square):
        raise InvalidDocumentError(f"the vector for {name!r} holds NaN or infinity", path=f"_vectors.{name}")
    if index.options["metric"] == "cosine":
        length = math.sqrt(square)
        if length == 0:
            raise InvalidDocumentError(
                f"the vector for {name!r} is zero, which has no direction",
                path=f"_vectors.{name}",
                hint="leave it out, or use metric='dot'",
            )
        if abs(length - 1) > _UNIT_ERROR:  # or it would change every time that it is copied
            numbers = (exact / length).astype(np.float32)
    return numbers
