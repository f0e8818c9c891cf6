"""What a document may hold, and the canonical text in which it is stored.

JSON, and four kinds of values beyond it, each an object with one reserved key:

| Python | stored as |
|---|---|
| `datetime` with a zone | `{"$datetime": "2026-11-22T09:30:00.000000Z"}`: UTC, µs; text order is time order |
| `date` | `{"$date": "2026-11-22"}` |
| `time` without a zone | `{"$time": "09:30:00.000000"}` |
| `bytes` | `{"$binary": "<base64>"}` |

Keys of objects therefore do not begin with `$`. The text is canonical: keys sorted, no spaces, so that equal
documents have equal text and equal digests on every engine.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson

from quanta_tissu.errors import InvalidDocumentError

Value = Any
"""None, bool, int, float, str, bytes, datetime, date, time, or a list or dict (with text keys) of values."""

MAX_DEPTH = 100
MAX_BYTES = 16 * 2**20

_INT64 = 2**63

# From here on Python writes a float in powers of ten.
LONG_FLOAT = 1e16


def encode(document: Mapping[str, Value]) -> str:
    """The canonical text of a document.

    Raises:
        InvalidDocumentError: It holds something that is not a value, or is too deep or too large.
    """
    if not isinstance(document, dict):
        raise InvalidDocumentError(
            f"a document is a dict of fields, not {type(document).__name__}", hint="wrap it: {'value': ...}"
        )
    text = text_of(document)
    if len(text) > MAX_BYTES // 4 and len(text.encode()) > MAX_BYTES:
        raise InvalidDocumentError(
            f"the document takes {len(text.encode()):,} bytes as JSON; the limit is {MAX_BYTES:,}",
            hint="store large content in files, or split it into several documents",
        )
    return text


def decode(text: str) -> dict[str, Value]:
    """The document of a canonical text."""
    tagged = "$" in text and '{"$' in text  # one character is found sooner than three
    found: dict[str, Value] = json.loads(text, object_hook=_revive) if tagged else orjson.loads(text)
    return found


def decode_json(data: str | bytes) -> Value:
    """A value from JSON that a user wrote, tags of times and bytes included.

    Raises:
        InvalidDocumentError: It is not JSON, or not a value.
    """
    try:
        return json.loads(data, object_hook=_checked_revive, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidDocumentError(
            f"this is not JSON: {error}", hint='as in {"title": "A note", "stars": 3}'
        ) from None
    except RecursionError:
        raise InvalidDocumentError(_TOO_DEEP_MESSAGE) from None


def plain(value: Value) -> Value:
    """A value in JSON's own types, with tags; checked.

    Raises:
        InvalidDocumentError: It cannot be stored; the error says where in it the reason stands.
    """
    return json.loads(text_of(value))


def _in_json_types(value: Value) -> Value:
    """As `plain`, with floats that need care marked."""
    try:
        return _plain(value, MAX_DEPTH)
    except _RefusalError as refusal:
        path = refusal.path
        message = refusal.message.format(where=path or "the value", parent=refusal.parent or "the document")
        raise InvalidDocumentError(message, path=path, hint=refusal.hint) from None


def tagged_text(value: dt.datetime | dt.date | dt.time) -> tuple[str, str]:
    """The tag of a point in time and the text below it.

    Raises:
        InvalidDocumentError: A datetime without a zone, or a time with one.
    """
    [(tag, text)] = plain(value).items()
    return tag, text


class _RefusalError(Exception):
    """Why a value cannot be stored, and the steps from it outwards to the document."""

    def __init__(self, message: str, hint: str) -> None:
        self.message = message
        self.hint = hint
        self.steps: list[str | int] = []

    @property
    def path(self) -> str:
        return _path(self.steps[::-1])

    @property
    def parent(self) -> str:
        return _path(self.steps[:0:-1])


def _path(steps: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _plain(value: Value, depth: int) -> Value:
    """As `plain`, for a value around which `depth` more lists and objects may stand."""
    kind = type(value)
    if kind is str:
        return _checked_text(value)
    if kind is int:
        if -_INT64 <= value < _INT64:
            return value
        raise _RefusalError(f"{{where}} = {value} does not fit 64 bits", "store it as text")
    if kind is bool or value is None:
        return value
    if kind is float:
        return _checked_float(value)
    if kind is dict:
        return _plain_dict(value, depth)
    if kind is list or kind is tuple:
        return _plain_list(value, depth)
    return _tagged(value, depth)


def _plain_dict(value: dict[Any, Value], depth: int) -> dict[str, Value]:
    if not depth:
        raise _RefusalError(_TOO_DEEP_MESSAGE, "flatten it, or split it into several documents")
    out = {}
    for key, item in value.items():
        try:
            if type(key) is not str or key.startswith("$"):
                _refuse_key(key)
            out[_checked_text(key)] = _plain(item, depth - 1)
        except _RefusalError as refusal:
            refusal.steps.append(str(key))
            raise
    return out


def _plain_list(value: list[Value] | tuple[Value, ...], depth: int) -> list[Value]:
    if not depth:
        raise _RefusalError(_TOO_DEEP_MESSAGE, "flatten it, or split it into several documents")
    out = []
    for item in value:
        try:
            out.append(_plain(item, depth - 1))
        except _RefusalError as refusal:
            refusal.steps.append(len(out))
            raise
    return out


def _tagged(value: Value, depth: int) -> Value:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$binary": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise _RefusalError(
                f"{{where}} = {value.isoformat()} has no time zone, so it is no point in time",
                "use datetime.now(timezone.utc), or value.replace(tzinfo=...)",
            )
        utc = value.astimezone(dt.UTC).replace(tzinfo=None)
        return {"$datetime": utc.isoformat(timespec="microseconds") + "Z"}
    if isinstance(value, dt.date):
        return {"$date": value.isoformat()}
    if isinstance(value, dt.time):
        if value.tzinfo is not None:
            raise _RefusalError(
                f"{{where}} = {value.isoformat()} is a time of day with a zone, which cannot be compared",
                "store a datetime, or a time without a zone",
            )
        return {"$time": value.isoformat(timespec="microseconds")}
    if isinstance(value, str):  # a subclass, such as an enumeration, whose own str() may be anything
        return _plain(str.__str__(value), depth)
    bases: tuple[type[Any], ...] = (int, float, dict, list, tuple)
    for base in bases:
        if isinstance(value, base):
            return _plain(base(value), depth)
    scalar = getattr(value, "item", None)  # a NumPy number
    if scalar is not None and getattr(value, "ndim", None) == 0:
        return _plain(scalar(), depth)
    raise _RefusalError(
        f"{{where}} is a {type(value).__name__}, which cannot be stored",
        "values are None, bool, int, float, str, bytes, datetime, date, time, and lists and dicts of them",
    )


def _checked_text(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _RefusalError(
                "{where} holds half of a surrogate pair, which is no character",
                "text.encode('utf-8', 'replace').decode() replaces such halves",
            ) from None
    if "\0" in text:
        raise _RefusalError("{where} holds a NUL character", "remove it, or store bytes")
    return text


def _checked_float(value: float) -> float | str:
    if not math.isfinite(value):
        raise _RefusalError(f"{{where}} = {value} is not a number of JSON", "store None or text")
    if abs(value) < LONG_FLOAT:
        return value + 0.0  # -0.0 becomes 0.0: not every engine tells them apart
    # Python writes 1e+16, which engines that keep decimals give back as an integer: say it is none. NUL, which
    # no text of a document holds, marks the place until the text is made.
    return f"{_MARK}{Decimal(value):f}.0"


def _refuse_key(key: Any) -> None:
    if isinstance(key, str) and not key.startswith("$"):
        return
    shown = repr(key).replace("{", "{{").replace("}", "}}")
    if isinstance(key, str):
        raise _RefusalError(
            f"the key {shown} in {{parent}} begins with $, which is kept for tags of values", "rename the field"
        )
    raise _RefusalError(f"the key {shown} in {{parent}} is of type {type(key).__name__}", "keys are text")


def text_of(value: Value) -> str:
    """The canonical text of any value.

    Raises:
        InvalidDocumentError: It cannot be stored.
    """
    if _is_plain(value, MAX_DEPTH):
        try:
            text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        except orjson.JSONEncodeError:  # it holds half of a surrogate pair, and below it is said where
            text = _NUL_AS_TEXT
        if _NUL_AS_TEXT not in text:
            return text
    text = _ENCODER.encode(_in_json_types(value))
    return _MARKED.sub(r"\1", text) if _MARK_AS_TEXT in text else text


def _is_plain(value: Value, depth: int) -> bool:
    """Whether it is of JSON's own types, with numbers that orjson writes as the canonical text has them.

    Most documents are. Texts are not looked at.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_INT64 <= value < _INT64)
    if kind is float:
        return bool(_LEAST_PLAIN <= abs(value) < LONG_FLOAT)
    if not depth:
        return False
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or key[:1] == "$":
                return False
            if type(item) is not str and not _is_plain(item, depth - 1):
                return False
        return True
    return kind is list and all(_is_plain(item, depth - 1) for item in value)


_LEAST_PLAIN = 1e-4
"""Smaller numbers have exponents, which Python writes with two digits."""

_TOO_DEEP_MESSAGE = f"the document is nested more than {MAX_DEPTH} levels deep"

_NUL_AS_TEXT = "\\u0000"
_MARK, _MARK_AS_TEXT = "\0float ", f'"{_NUL_AS_TEXT}float '
_MARKED = re.compile(r'"\\u0000float ([-0-9.]+)"')

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _revive(item: dict[str, Value]) -> Value:
    if len(item) == 1:
        [(tag, text)] = item.items()
        reader = _READERS.get(tag)
        if reader is not None:
            return reader(text)
    return item


def _checked_revive(item: dict[str, Value]) -> Value:
    try:
        return _revive(item)
    except (TypeError, ValueError, AttributeError, binascii.Error):
        raise InvalidDocumentError(
            f"{json.dumps(item)} is no value of its kind",
            hint='as in {"$datetime": "2026-11-22T09:30:00Z"}, {"$date": "2026-11-22"}, {"$time": "09:30:00"}',
        ) from None


def _refuse_constant(name: str) -> Value:
    raise InvalidDocumentError(f"{name} is not a number of JSON", hint="write null")


def _datetime(text: str) -> dt.datetime:
    value = dt.datetime.fromisoformat(text)
    return value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)


_READERS: dict[str, Callable[[Any], Value]] = {
    "$datetime": _datetime,
    "$date": dt.date.fromisoformat,
    "$time": dt.time.fromisoformat,
    "$binary": lambda text: base64.b64decode(text, validate=True),
}
