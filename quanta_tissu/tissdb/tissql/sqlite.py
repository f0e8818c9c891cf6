"""TissQL's values and operations in SQLite's SQL.

The payload is one column: numbers as they are, true and false as 1 and 0, strings as text, all others as their
JSON text, in which values of one kind begin alike and so compare as their contents do. `json_extract(doc, path)`
is that payload, and what value indexes hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quanta_tissu.tissdb import meaning
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Path
from quanta_tissu.tissdb.sqlite.dialect import path_literal
from quanta_tissu.tissdb.tissql.engine import FALSE, Lowered, known, slot
from quanta_tissu.tissdb.values import Value, decode_json, text_of

_JSON_TYPES = {
    meaning.BOOL: "IN ('true', 'false')",
    meaning.NUMBER: "IN ('integer', 'real')",
    meaning.STRING: "= 'text'",
    meaning.ARRAY: "= 'array'",
}

_TAGS = {
    meaning.DATE: '{"$date"',
    meaning.TIME: '{"$time"',
    meaning.DATETIME: '{"$datet',
    meaning.BINARY: '{"$binar',
}
"""The first eight characters of the JSON text of kinds beyond JSON's own."""

_PLACES = {
    meaning.DATE: {"year": (11, 4), "month": (16, 2), "day": (19, 2)},
    meaning.TIME: {"hour": (11, 2), "minute": (14, 2), "second": (17, 2)},
    meaning.DATETIME: {
        "year": (15, 4),
        "month": (20, 2),
        "day": (23, 2),
        "hour": (26, 2),
        "minute": (29, 2),
        "second": (32, 2),
    },
}
"""Where the parts of points in time stand in their JSON text, and how long they are."""


class SqliteEngine:
    """As `Engine`."""

    width = 1

    def bind(self, value: Value, facet: str) -> Any:
        """As `Engine`: `v` is a payload, `i` an integer, `g...` a pattern for GLOB with its escape."""
        if facet.startswith("g"):
            return _glob(value, facet[1:])
        if facet == "i":
            return value
        kind = meaning.kind_of(value)
        if kind in (meaning.NUMBER, meaning.STRING, meaning.NULL):
            return value
        return int(value) if kind == meaning.BOOL else text_of(value)

    def decode(self, columns: Sequence[Any]) -> Value:
        """As `Engine`."""
        rank, payload = columns
        if rank == meaning.NULL or payload is None:
            return None
        if rank == meaning.NUMBER:
            return payload + 0.0 if isinstance(payload, float) else payload
        if rank == meaning.STRING:
            return payload
        return bool(payload) if rank == meaning.BOOL else decode_json(payload)

    def null(self) -> Lowered:
        """As `Engine`."""
        return Lowered(meaning.NULL, "0", ("NULL",), lambda kind: FALSE)

    def constant(self, number: str, kind: int) -> Lowered:
        """As `Engine`."""
        place = slot(number, "v")
        return Lowered(kind, str(kind), (place,), lambda asked: f"{kind} = {asked}")

    def field(self, alias: str, path: Path, indexed: bool) -> Lowered:
        """As `Engine`; what an index holds mostly settles the kind of a value, so that no document is read."""
        at = path_literal(path)
        kind, payload = f"json_type({alias}.doc, {at})", f"json_extract({alias}.doc, {at})"
        tags = " ".join(f"WHEN '{tag}' THEN {rank}" for rank, tag in _TAGS.items())
        of_object = f"CASE substr({payload}, 1, 8) {tags} ELSE {meaning.OBJECT} END"
        rank = (
            f"CASE {kind} WHEN 'integer' THEN 2 WHEN 'real' THEN 2 WHEN 'text' THEN 3 WHEN 'true' THEN 1 "
            f"WHEN 'false' THEN 1 WHEN 'object' THEN {of_object} WHEN 'array' THEN 8 ELSE 0 END"
        )

        def guard(asked: int) -> str:
            if asked in _JSON_TYPES:
                return f"{kind} {_JSON_TYPES[asked]}"
            if asked in _TAGS:
                return f"{kind} = 'object' AND substr({payload}, 1, 8) = '{_TAGS[asked]}'"
            return f"{rank} = {asked}"

        def after(asked: int) -> str:
            if asked == meaning.NUMBER:  # text comes behind all numbers; true and false are 1 and 0
                return f"(typeof({payload}) <> 'text' AND ({payload} NOT IN (0, 1) OR {guard(asked)}))"
            if asked == meaning.STRING:  # what is no string has JSON text, in brackets
                plain = f"substr({payload}, 1, 1) NOT IN ('[', '{{')"
                return f"(typeof({payload}) = 'text' AND ({plain} OR {guard(asked)}))"
            return guard(asked)

        return Lowered(None, rank, (payload,), guard, f"{alias}.doc -> {at}", after=after if indexed else None)

    def exists(self, alias: str, path: Path) -> str:
        """As `Engine`."""
        return f"json_type({alias}.doc, {path_literal(path)}) IS NOT NULL"

    def text(self, sql: str) -> Lowered:
        """As `Engine`."""
        return known(meaning.STRING, sql, (sql,))

    def number(self, sql: str) -> Lowered:
        """As `Engine`."""
        return known(meaning.NUMBER, sql, (sql,))

    def score(self, sql: str) -> Lowered:
        """As `Engine`."""
        return self.number(sql)

    def moment(self, sql: str) -> Lowered:
        """As `Engine`; a time of day rounds down, also before 1970."""
        seconds = f"({sql} - (({sql} % 1000000) + 1000000) % 1000000) / 1000000"
        payload = (
            f"('{{\"$datetime\":\"' || strftime('%Y-%m-%dT%H:%M:%S', {seconds}, 'unixepoch') "
            f"|| printf('.%06dZ\"}}', (({sql} % 1000000) + 1000000) % 1000000))"
        )
        return known(meaning.DATETIME, payload, (payload,))

    def columns(self, names: Sequence[str]) -> Lowered:
        """As `Engine`."""
        rank, payload = names
        return Lowered(None, rank, (payload,), lambda asked: f"{rank} = {asked}")

    def compare(self, operator: str, left: Lowered, right: Lowered) -> str:
        """As `Engine`."""
        return f"{left.payload[0]} {operator} {right.payload[0]}"

    def among(self, value: Lowered, others: Sequence[Lowered], negated: bool) -> str:
        """As `Engine`."""
        places = ", ".join(other.payload[0] for other in others)
        return f"{value.payload[0]} {'NOT ' if negated else ''}IN ({places})"

    def is_null(self, value: Lowered, negated: bool) -> str:
        """As `Engine`."""
        return f"{value.payload[0]} IS {'NOT ' if negated else ''}NULL"

    def like(self, payload: tuple[str, ...], number: str, escape: str, negated: bool) -> str:
        """As `Engine`; SQLite's own LIKE takes A for a."""
        return f"{payload[0]} {'NOT ' if negated else ''}GLOB {slot(number, 'g' + escape)}"

    def sort_key(self, value: Lowered) -> tuple[str, ...]:
        """As `Engine`."""
        if value.kind is not None:
            return value.payload if value.kind in meaning.COMPARED else ()
        return value.rank, f"CASE WHEN {value.rank} < {meaning.ARRAY} THEN {value.payload[0]} END"

    def numeric(self, value: Lowered) -> str:
        """As `Engine`."""
        if value.kind is not None:
            return value.payload[0] if value.kind == meaning.NUMBER else "NULL"
        return f"CASE WHEN {value.guard(meaning.NUMBER)} THEN {value.payload[0]} END"

    def arithmetic(self, operator: str, left: str, right: str) -> str:
        """As `Engine`: what SQLite does, but for infinity."""
        left = f"CAST({left} AS REAL)" if operator == "/" else left
        return f"nullif(nullif(({left} {operator} {right}), 9e999), -9e999)"

    def whole(self, value: Lowered) -> Lowered:
        """As `Engine`."""
        if value.kind not in (None, meaning.NUMBER):
            return value
        number = value.payload[0]
        payload = (
            f"CASE WHEN typeof({number}) = 'real' AND {number} >= -9223372036854775808.0 "
            f"AND {number} < 9223372036854775808.0 AND CAST({number} AS INTEGER) = {number} "
            f"THEN CAST({number} AS INTEGER) ELSE {number} END"
        )
        return Lowered(value.kind, value.rank, (payload,), value.guard)

    def extract(self, part: str, value: Lowered) -> Lowered:
        """As `Engine`."""
        cases = " ".join(
            f"WHEN {kind} THEN CAST(substr({value.payload[0]}, {places[part][0]}, {places[part][1]}) AS INTEGER)"
            for kind, places in _PLACES.items()
            if part in places
        )
        return self.number(f"(CASE {value.rank} {cases} END)")

    def shift(self, value: Lowered, months: int, microseconds: int) -> Lowered:
        """As `Engine`."""
        kinds = f"({meaning.DATE}, {meaning.TIME}, {meaning.DATETIME})"
        point = f"CASE WHEN {value.rank} IN {kinds} THEN {value.payload[0]} END"
        moved = f"tissql_shift({point}, {months}, {microseconds})"
        return Lowered(
            None,
            f"CASE WHEN {moved} IS NULL THEN 0 ELSE {value.rank} END",
            (moved,),
            lambda asked: f"({value.rank} = {asked} AND {moved} IS NOT NULL)",
        )

    def text_function(self, function: str, value: Lowered) -> Lowered:
        """As `Engine`; SQLite's own functions know A to Z only."""
        found = f"{function}({self._string(value)})"
        return self.number(found) if function == "length" else self.text(found)

    def concatenation(self, left: Lowered, right: Lowered) -> Lowered:
        """As `Engine`."""
        return self.text(f"({self._string(left)} || {self._string(right)})")

    def _string(self, value: Lowered) -> str:
        if value.kind is not None:
            return value.payload[0] if value.kind == meaning.STRING else "NULL"
        return f"CASE WHEN {value.guard(meaning.STRING)} THEN {value.payload[0]} END"

    def aggregate(self, function: str, value: Lowered) -> Lowered:
        """As `Engine`: the functions are `sqlite/functions.py`'s, MIN and MAX a kind at a time."""
        if function in ("sum", "avg", "stddev"):
            return self.number(f"tissql_{function}({self.numeric(value)})")
        kinds = meaning.EXTREMES if function == "min" else meaning.EXTREMES[::-1]
        found = [f"{function}(CASE WHEN {value.guard(kind)} THEN {value.payload[0]} END)" for kind in kinds]
        rank = "CASE " + " ".join(
            f"WHEN {one} IS NOT NULL THEN {kind}" for kind, one in zip(kinds, found, strict=True)
        )
        return self.whole(
            Lowered(None, f"{rank} ELSE 0 END", (f"coalesce({', '.join(found)})",), lambda asked: FALSE)
        )

    def count(self, value: Lowered, distinct: bool) -> Lowered:
        """As `Engine`; strings and truths, which may look like other kinds, are counted for themselves."""
        payload = value.payload[0]
        if not distinct:
            return self.number(f"count({payload})")
        if value.kind is not None:
            return self.number(f"count(DISTINCT {payload})")
        string, truth = value.guard(meaning.STRING), value.guard(meaning.BOOL)
        return self.number(
            f"(count(DISTINCT CASE WHEN {string} THEN {payload} END) "
            f"+ count(DISTINCT CASE WHEN {truth} THEN {payload} END) "
            f"+ count(DISTINCT CASE WHEN NOT ({string}) AND NOT ({truth}) THEN {payload} END))"
        )

    def explain(self, connection: Connection, sql: str, parameters: Sequence[Any]) -> list[str]:
        """As `Engine`."""
        return [row[3] for row in connection.rows(f"EXPLAIN QUERY PLAN {sql}", parameters)]

    def scores(self) -> str:
        """As `Engine`."""
        return "SELECT value ->> 0 AS rid, value ->> 1 AS score FROM json_each(?)"


def _glob(pattern: str, escape: str) -> str | None:
    """A LIKE pattern as one of GLOB."""
    steps = meaning.pattern_steps(pattern, escape)
    if steps is None:
        return None
    return "".join(
        "*" if step == meaning.ANY_TEXT else "?" if step is None else f"[{step}]" if step in "*?[" else step
        for step in steps
    )
