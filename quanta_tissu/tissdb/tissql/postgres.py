"""TissQL's values and operations in PostgreSQL's SQL.

The payload is two columns, of which one is null: a number, as `numeric`, or text, which compares by code point.
Fields also have their JSON as it is, which is what value indexes hold; JSON of one kind compares as it should,
except for strings, whose order there is the database's own.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from quanta_tissu.tissdb import meaning
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Path
from quanta_tissu.tissdb.postgres.paths import json_at
from quanta_tissu.tissdb.tissql.engine import FALSE, Lowered, known, slot
from quanta_tissu.tissdb.values import Value, decode_json, text_of

_JSON_TYPES = {meaning.BOOL: "boolean", meaning.NUMBER: "number", meaning.STRING: "string", meaning.ARRAY: "array"}

_TAGS = {
    meaning.DATE: "$date",
    meaning.TIME: "$time",
    meaning.DATETIME: "$datetime",
    meaning.BINARY: "$binary",
}

_JSON_ORDER = (meaning.BOOL, meaning.NUMBER, meaning.DATE, meaning.TIME, meaning.DATETIME)
"""Kinds whose JSON compares alike in every database."""

_PLACES = {
    meaning.DATE: {"year": (1, 4), "month": (6, 2), "day": (9, 2)},
    meaning.TIME: {"hour": (1, 2), "minute": (4, 2), "second": (7, 2)},
    meaning.DATETIME: {
        "year": (1, 4),
        "month": (6, 2),
        "day": (9, 2),
        "hour": (12, 2),
        "minute": (15, 2),
        "second": (18, 2),
    },
}
"""Where the parts of points in time stand in their text, and how long they are."""

_INT64 = 2**63

_READERS: dict[int, Callable[[str], Value]] = {
    meaning.BOOL: lambda text: text == "true",
    meaning.STRING: str,
    meaning.DATE: dt.date.fromisoformat,
    meaning.TIME: dt.time.fromisoformat,
    meaning.DATETIME: dt.datetime.fromisoformat,
    meaning.BINARY: base64.b64decode,
    meaning.ARRAY: decode_json,
    meaning.OBJECT: decode_json,
}


class PostgresEngine:
    """As `Engine`."""

    width = 2

    def bind(self, value: Value, facet: str) -> Any:
        """As `Engine`: `n` a number, `t` text, `j` JSON, `i` an integer, `l...` a LIKE pattern with its escape."""
        if facet == "i":
            return value
        if facet.startswith("l"):
            return _pattern(value, facet[1:])
        text = text_of(value)
        if facet in ("n", "j"):
            return text
        if meaning.kind_of(value) == meaning.STRING:
            return value
        [content] = json.loads(text).values() if meaning.kind_of(value) in _TAGS else [text]
        return content

    def decode(self, columns: Sequence[Any]) -> Value:
        """As `Engine`."""
        rank, number, text = columns
        if number is not None:
            return _number(number)
        return None if rank == meaning.NULL or text is None else _READERS[rank](text)

    def null(self) -> Lowered:
        """As `Engine`."""
        return Lowered(meaning.NULL, "0", ("NULL::numeric", "NULL::text"), lambda kind: FALSE)

    def constant(self, number: str, kind: int) -> Lowered:
        """As `Engine`."""
        payload = (
            (f"CAST({slot(number, 'n')} AS numeric)", "NULL::text")
            if kind == meaning.NUMBER
            else ("NULL::numeric", f"CAST({slot(number, 't')} AS text)")
        )
        raw = f"CAST({slot(number, 'j')} AS jsonb)"
        return Lowered(kind, str(kind), payload, lambda asked: f"{kind} = {asked}", raw=raw)

    def field(self, alias: str, path: Path, indexed: bool) -> Lowered:
        """As `Engine`."""
        at = json_at(f"{alias}.doc", path)

        def guard(asked: int) -> str:
            if asked in _JSON_TYPES:
                return f"jsonb_typeof({at}) = '{_JSON_TYPES[asked]}'"
            return f"jsonb_exists({at}, '{_TAGS[asked]}')" if asked in _TAGS else f"tissql_rank({at}) = {asked}"

        payload = (f"tissql_numeric({at})", f"tissql_text({at})")
        return Lowered(None, f"tissql_rank({at})", payload, guard, f"({at})::text", f"({at})")

    def exists(self, alias: str, path: Path) -> str:
        """As `Engine`."""
        return f"({json_at(f'{alias}.doc', path)}) IS NOT NULL"

    def text(self, sql: str) -> Lowered:
        """As `Engine`."""
        return known(meaning.STRING, sql, ("NULL::numeric", sql))

    def number(self, sql: str) -> Lowered:
        """As `Engine`."""
        return known(meaning.NUMBER, sql, (f"({sql})::numeric", "NULL::text"))

    def score(self, sql: str) -> Lowered:
        """As `Engine`."""
        return self.number(f"tissql_rounded({sql})")

    def moment(self, sql: str) -> Lowered:
        """As `Engine`."""
        text = f"tissql_moment({sql})"
        return known(meaning.DATETIME, text, ("NULL::numeric", text))

    def columns(self, names: Sequence[str]) -> Lowered:
        """As `Engine`."""
        rank, *payload = names
        return Lowered(None, rank, tuple(payload), lambda asked: f"{rank} = {asked}")

    def compare(self, operator: str, left: Lowered, right: Lowered) -> str:
        """As `Engine`: as JSON if a field is asked for and its index may help."""
        kind = right.kind if left.kind is None else left.kind
        if left.raw is not None and right.raw is not None and (operator in ("=", "<>") or kind in _JSON_ORDER):
            return f"{left.raw} {operator} {right.raw}"
        numbers = f"{left.payload[0]} {operator} {right.payload[0]}"
        texts = f'({left.payload[1]}) COLLATE "C" {operator} ({right.payload[1]}) COLLATE "C"'
        if kind is None:
            return f"(CASE WHEN {left.rank} = {meaning.NUMBER} THEN {numbers} ELSE {texts} END)"
        return numbers if kind == meaning.NUMBER else texts

    def among(self, value: Lowered, others: Sequence[Lowered], negated: bool) -> str:
        """As `Engine`."""
        word = "NOT IN" if negated else "IN"
        if value.raw is not None:
            return f"{value.raw} {word} ({', '.join(str(other.raw) for other in others)})"
        place = 0 if others[0].kind == meaning.NUMBER else 1
        return f"{value.payload[place]} {word} ({', '.join(other.payload[place] for other in others)})"

    def is_null(self, value: Lowered, negated: bool) -> str:
        """As `Engine`."""
        if value.raw is not None and value.kind is None:
            return f"coalesce({value.raw}, 'null'::jsonb) {'<>' if negated else '='} 'null'::jsonb"
        test = f"({value.payload[0]}) IS NULL AND ({value.payload[1]}) IS NULL"
        return f"NOT ({test})" if negated else f"({test})"

    def like(self, payload: tuple[str, ...], number: str, escape: str, negated: bool) -> str:
        """As `Engine`."""
        pattern = f"CAST({slot(number, 'l' + escape)} AS text)"
        return f'({payload[1]}) COLLATE "C" {"NOT " if negated else ""}LIKE {pattern}'

    def sort_key(self, value: Lowered) -> tuple[str, ...]:
        """As `Engine`."""
        number, text = value.payload
        if value.kind is not None:
            if value.kind not in meaning.COMPARED:
                return ()
            if value.raw is not None and value.kind in _JSON_ORDER:
                return (value.raw,)
            return (number,) if value.kind == meaning.NUMBER else (f'({text}) COLLATE "C"',)
        return value.rank, number, f'(CASE WHEN {value.rank} < {meaning.ARRAY} THEN {text} END) COLLATE "C"'

    def numeric(self, value: Lowered) -> str:
        """As `Engine`."""
        return value.payload[0]

    def arithmetic(self, operator: str, left: str, right: str) -> str:
        """As `Engine`."""
        return f"tissql_calculated('{operator}', {left}, {right})"

    def whole(self, value: Lowered) -> Lowered:
        """As `Engine`."""
        if value.kind not in (None, meaning.NUMBER):
            return value
        return Lowered(
            value.kind, value.rank, (f"tissql_whole({value.payload[0]})", value.payload[1]), value.guard
        )

    def extract(self, part: str, value: Lowered) -> Lowered:
        """As `Engine`."""
        cases = " ".join(
            f"WHEN {kind} THEN substr({value.payload[1]}, {places[part][0]}, {places[part][1]})"
            for kind, places in _PLACES.items()
            if part in places
        )
        return self.number(f"(CASE {value.rank} {cases} END)")

    def shift(self, value: Lowered, months: int, microseconds: int) -> Lowered:
        """As `Engine`."""
        moved = f"tissql_shift({value.rank}, {value.payload[1]}, {months}, {microseconds})"
        return Lowered(
            None,
            f"CASE WHEN {moved} IS NULL THEN 0 ELSE {value.rank} END",
            ("NULL::numeric", moved),
            lambda asked: f"({value.rank} = {asked} AND {moved} IS NOT NULL)",
        )

    def text_function(self, function: str, value: Lowered) -> Lowered:
        """As `Engine`."""
        found = f'{function}(({self._string(value)}) COLLATE "C")'
        return self.number(found) if function == "length" else self.text(found)

    def concatenation(self, left: Lowered, right: Lowered) -> Lowered:
        """As `Engine`."""
        return self.text(f'(({self._string(left)}) COLLATE "C" || ({self._string(right)}) COLLATE "C")')

    def _string(self, value: Lowered) -> str:
        if value.kind is not None:
            return value.payload[1] if value.kind == meaning.STRING else "NULL::text"
        return f"CASE WHEN {value.guard(meaning.STRING)} THEN {value.payload[1]} END"

    def aggregate(self, function: str, value: Lowered) -> Lowered:
        """As `Engine`; MIN and MAX a kind at a time."""
        number, text = value.payload
        if function == "sum":
            return self.number(f"tissql_total(sum({number}))")
        if function == "avg":
            return self.number(f"tissql_calculated('/', tissql_total(sum({number})), count({number})::numeric)")
        if function == "stddev":
            return self.number(f"tissql_deviation(count({number}), sum({number}), sum({number} * {number}))")
        kinds = meaning.EXTREMES if function == "min" else meaning.EXTREMES[::-1]
        found = {
            kind: f"{function}({number})"
            if kind == meaning.NUMBER
            else f'{function}(CASE WHEN {value.guard(kind)} THEN {text} END COLLATE "C")'
            for kind in kinds
        }
        rank = (
            "CASE "
            + " ".join(f"WHEN {one} IS NOT NULL THEN {kind}" for kind, one in found.items())
            + " ELSE 0 END"
        )
        texts = " ".join(
            f"WHEN {one} IS NOT NULL THEN {'NULL' if kind == meaning.NUMBER else one}"
            for kind, one in found.items()
        )
        numbers = f"CASE WHEN {rank} = {meaning.NUMBER} THEN {found[meaning.NUMBER]} END"
        return self.whole(Lowered(None, rank, (numbers, f"CASE {texts} END"), lambda asked: FALSE))

    def count(self, value: Lowered, distinct: bool) -> Lowered:
        """As `Engine`."""
        what = f"DISTINCT ({value.rank}, {', '.join(value.payload)})" if distinct else "*"
        return self.number(f"count({what}) FILTER (WHERE {value.rank} > 0)")

    def explain(self, connection: Connection, sql: str, parameters: Sequence[Any]) -> list[str]:
        """As `Engine`."""
        return [row[0] for row in connection.rows(f"EXPLAIN (COSTS OFF) {sql}", parameters)]

    def scores(self) -> str:
        """As `Engine`."""
        return (
            "SELECT (value ->> 0)::bigint AS rid, (value ->> 1)::float8 AS score "
            "FROM jsonb_array_elements(CAST(? AS jsonb)) AS pairs (value)"
        )


def _number(number: Decimal) -> int | float:
    if number.as_tuple().exponent == 0 and -_INT64 <= number < _INT64:
        return int(number)
    return float(number) + 0.0


def _pattern(pattern: str, escape: str) -> str | None:
    r"""A LIKE pattern as one whose escape is \."""
    steps = meaning.pattern_steps(pattern, escape)
    if steps is None:
        return None
    return "".join(
        "%" if step == meaning.ANY_TEXT else "_" if step is None else f"\\{step}" if step in "%_\\" else step
        for step in steps
    )
