"""Parameters of a statement: checked, and in the form that documents would give them back in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from quanta_tissu.errors import InvalidDocumentError, QueryError
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.check import walk
from quanta_tissu.tissdb.values import Value, decode, encode

Parameters = Sequence[Any] | Mapping[str, Any]
"""Values for `?` in their order, or for `:name` by name."""

_HINT = "a list for ?, as in [1, 'x'], a dict for :name, as in {'name': 1}; in `tissu db` -p VALUE, -p NAME=VALUE"
_INT64 = 2**63

MOST_VALUES = 1_000
"""In a list that is one parameter of IN."""


def bound(parsed: ir.Parsed, parameters: Parameters) -> dict[int | str, Value]:
    """The values of a statement's parameters.

    Raises:
        QueryError: There are too few or too many, or one is no value.
    """
    if isinstance(parameters, Mapping):
        given: dict[int | str, Any] = dict(parameters.items())
    elif isinstance(parameters, Sequence) and not isinstance(parameters, str | bytes):
        given = dict(enumerate(parameters))
    else:
        raise QueryError(
            f"parameters are a {type(parameters).__name__}",
            hint=_HINT,
        )
    if given.keys() != set(parsed.parameters):
        raise _mismatch(parsed, given)
    if not given:
        return {}
    return {key: _value(parsed, key, value) for key, value in given.items()}


def error_at(text: str, span: ir.Span, message: str, hint: str | None = None) -> QueryError:
    """An error at a place of a statement."""
    return QueryError(message, statement=text, start=span[0], end=span[1], hint=hint)


def _span(parsed: ir.Parsed, key: int | str) -> ir.Span:
    for part in walk(parsed.statement):
        if isinstance(part, ir.Parameter) and part.key == key:
            return part.span
    return 0, 0


def _mismatch(parsed: ir.Parsed, given: Mapping[int | str, Any]) -> QueryError:
    missing = [key for key in parsed.parameters if key not in given]
    if missing:
        key = missing[0]
        if isinstance(key, int):
            count = sum(isinstance(one, int) for one in given)
            message = f"there are {len(parsed.parameters)} ? and {count} values for them"
        else:
            message = f"there is no value for :{key}"
        return error_at(parsed.text, _span(parsed, key), message, _HINT)
    extra = next(key for key in given if key not in parsed.parameters)
    said = f"value {extra + 1}" if isinstance(extra, int) else f"a value for :{extra}"
    return error_at(
        parsed.text, (0, len(parsed.text)), f"{said} is given, which the statement does not ask for", _HINT
    )


def _value(parsed: ir.Parsed, key: int | str, value: Any) -> Value:
    kind = type(value)
    if value is None or kind is bool or (kind is int and -_INT64 <= value < _INT64):
        return value
    if kind is str and value.isascii() and "\0" not in value:
        return value
    try:
        text = encode({"v": value})
    except InvalidDocumentError as error:
        name = f"parameter {key + 1}" if isinstance(key, int) else f"parameter :{key}"
        where = error.path.removeprefix("v").removeprefix(".")
        said = error.message.replace(f"v{'.' if where else ''}{where} ", f"{name} ", 1)
        raise error_at(parsed.text, _span(parsed, key), said, error.hint) from None
    except OverflowError:
        raise error_at(parsed.text, _span(parsed, key), "a time outside of the years 1 to 9999 in UTC") from None
    if kind in (str, bytes, dt.date, dt.time):
        return value
    found = decode(text)["v"]
    if isinstance(found, list) and len(found) > MOST_VALUES and _is_item(parsed, key):
        raise error_at(
            parsed.text,
            _span(parsed, key),
            f"IN of {len(found):,} values; the limit is {MOST_VALUES:,}",
            "ask in several queries",
        )
    return found


def _is_item(parsed: ir.Parsed, key: int | str) -> bool:
    return any(
        isinstance(part, ir.In) and any(isinstance(item, ir.Parameter) and item.key == key for item in part.items)
        for part in walk(parsed.statement)
    )
