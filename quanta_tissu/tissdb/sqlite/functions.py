"""Functions that SQLite lacks: sums that do not depend on the order, for TissQL, and counts for search."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from typing import Any

import apsw

from quanta_tissu.tissdb import meaning
from quanta_tissu.tissdb.sqlite.postings import count_in_document
from quanta_tissu.tissdb.values import decode_json, text_of


class _Sums:
    """Sums of integers and of decimals, and of squares where they are wanted."""

    def __init__(self, squares: bool) -> None:
        self.count = 0
        self.whole, self.rest, self.floats = 0, decimal.Decimal(0), False
        self.squares = decimal.Decimal(0) if squares else None

    def add(self, value: int | float | None) -> None:
        if value is None:
            return
        self.count += 1
        if isinstance(value, int):
            self.whole += value
            exact = decimal.Decimal(value) if self.squares is not None else None
        else:
            self.floats = True
            exact = meaning.written(value)
            self.rest = meaning.EXACT.add(self.rest, exact)
        if self.squares is not None and exact is not None:
            self.squares = meaning.EXACT.fma(exact, exact, self.squares)

    def total(self) -> int | float | None:
        return meaning.rounded_total(self.whole, self.rest, self.floats) if self.count else None

    def average(self) -> float | None:
        found: float | None = meaning.arithmetic("/", self.total(), self.count)
        return found

    def deviation(self) -> float | None:
        sums = meaning.EXACT.add(decimal.Decimal(self.whole), self.rest)
        return meaning.rounded_deviation(self.count, sums, self.squares or decimal.Decimal(0))


def _aggregate(finish: Callable[[_Sums], Any], squares: bool = False) -> Callable[[], Any]:
    def start() -> tuple[_Sums, Callable[[_Sums, Any], None], Callable[[_Sums], Any]]:
        return _Sums(squares), _Sums.add, finish

    return start


def _shift(*arguments: Any) -> str | None:
    text, months, microseconds = arguments
    if text is None:
        return None
    moved = meaning.shift(decode_json(text), months, microseconds)
    return None if moved is None else text_of(moved)


def register(connection: apsw.Connection) -> None:
    """Make the functions known to a connection."""
    connection.create_aggregate_function("tissql_sum", _aggregate(_Sums.total), 1)
    connection.create_aggregate_function("tissql_avg", _aggregate(_Sums.average), 1)
    connection.create_aggregate_function("tissql_stddev", _aggregate(_Sums.deviation, squares=True), 1)
    connection.create_scalar_function("tissql_shift", _shift, 3, deterministic=True)
    connection.register_fts5_function("tissdb_count", count_in_document)
