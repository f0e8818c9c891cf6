"""Which collections a query of a script reads."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from quanta_tissu.errors import QueryError
from quanta_tissu.tisslang.engine.values import Unknown, Value, as_text


def collections_of(query: Value) -> list[str]:
    """The collections of a query, in order; `*` if it is not known or cannot be read."""
    from quanta_tissu.tissdb.tissql import ir
    from quanta_tissu.tissdb.tissql.parse import parse

    if isinstance(query, Unknown):
        return ["*"]
    try:
        statement = parse(as_text(query)).statement
    except QueryError:
        return ["*"]
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, ir.Source):
            found.append(value.collection)
        if isinstance(value, tuple):
            for one in value:
                look(one)
        elif is_dataclass(value):
            for one in fields(value):
                look(getattr(value, one.name))

    look(statement)
    return sorted(set(found))
