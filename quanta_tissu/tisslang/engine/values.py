"""Values of a running script: those of JSON, and what is not known before a run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

from quanta_tissu.tisslang.llm.data import block


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that only a run can tell; plans are made of them.

    Attributes:
        shape: What is known of it as text, with `{...}` for what is not: `out/{name}.txt`.
    """

    shape: str


def hole(what: str) -> Unknown:
    """A value of which nothing is known but where it comes from."""
    return Unknown("{" + " ".join(what.replace("{", "").replace("}", "").split()) + "}")


Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | Unknown | None"
"""What a variable holds."""


class WrongValue(Exception):  # noqa: N818 - never leaves the engine: whoever asked says where it happened
    """A value is not of the kind that is needed.

    Args:
        message: What is wrong, with the value.
        help: What to do about it.
    """

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


def kind_of(value: Value) -> str:
    """What people call a value's kind."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case Unknown():
            return "not known before the run"


def is_number(value: Value) -> TypeGuard[int | float]:
    """Whether a value is a number; truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def holds_unknown(value: Value) -> bool:
    """Whether a part of a value is not known."""
    match value:
        case Unknown():
            return True
        case list():
            return any(holds_unknown(one) for one in value)
        case dict():
            return any(holds_unknown(one) for one in value.values())
        case _:
            return False


def as_text(value: Value) -> str:
    """A value as it stands in a text: texts as they are, all else as JSON; what is not known by its shape."""
    match value:
        case str():
            return value
        case Unknown(shape=shape):
            return shape
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case _:
            return json.dumps(value, ensure_ascii=False, default=_shape)


def text_of(value: Value) -> str | Unknown:
    """A value as text, of which parts may not be known."""
    if holds_unknown(value) and not isinstance(value, Unknown):
        return hole("value")
    return value if isinstance(value, Unknown) else as_text(value)


def _shape(value: object) -> str:
    if isinstance(value, Unknown):
        return value.shape
    raise TypeError(f"{type(value).__name__} is no value of a script")


def shown(value: Value, most: int = 60) -> str:
    """A value as messages show it, cut."""
    text = json.dumps(value, ensure_ascii=False, default=_shape)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def truth(value: Value) -> bool | Unknown:
    """The truth value that a condition needs.

    Raises:
        WrongValue: It is something else: nothing is guessed from numbers or texts.
    """
    if isinstance(value, bool | Unknown):
        return value
    raise WrongValue(
        f"a condition is true or false, and this is {kind_of(value)}: {shown(value)}",
        "compare it, or ask `IS_EMPTY`",
    )


def equal(left: Value, right: Value) -> bool:
    """Whether two values are the same; `1` is not `true`, and `1` is `1.0`."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    return left == right


def compare(operator: str, left: Value, right: Value) -> bool:
    """`<`, `<=`, `>`, `>=` of two numbers or two texts.

    Raises:
        WrongValue: They are something else.
    """
    if isinstance(left, str) and isinstance(right, str):
        return _ordered(operator, (left > right) - (left < right))
    if is_number(left) and is_number(right):
        return _ordered(operator, (left > right) - (left < right))
    raise WrongValue(
        f"{kind_of(left)} and {kind_of(right)} have no order: {shown(left)} {operator} {shown(right)}"
    )


def _ordered(operator: str, sign: int) -> bool:
    return {"<": sign < 0, "<=": sign <= 0, ">": sign > 0, ">=": sign >= 0}[operator]


def contains(whole: Value, part: Value) -> bool:
    """Whether a text has a text in it, a list an item, an object a key.

    Raises:
        WrongValue: The whole is something else, or a text is asked for what is none.
    """
    match whole:
        case str():
            return as_text(part) in whole
        case list():
            return any(equal(one, part) for one in whole)
        case dict():
            return part in whole
        case _:
            raise WrongValue(f"{kind_of(whole)} contains nothing: {shown(whole)}")


def matches(text: Value, pattern: Value) -> bool:
    """Whether a regular expression fits somewhere in a text.

    Raises:
        WrongValue: One of them is no text, or the pattern none.
    """
    if not isinstance(text, str) or not isinstance(pattern, str):
        raise WrongValue(f"MATCHES takes a text and a pattern, not {kind_of(text)} and {kind_of(pattern)}")
    try:
        return re.search(pattern, text) is not None
    except re.error as error:
        raise WrongValue(f"{shown(pattern)} is no regular expression: {error}") from None


def plus(left: Value, right: Value) -> Value:
    """The sum of numbers; texts and lists one after the other.

    Raises:
        WrongValue: They are something else.
    """
    if is_number(left) and is_number(right):
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        return left + right
    if isinstance(left, str) or isinstance(right, str):
        return as_text(left) + as_text(right)
    raise WrongValue(f"{kind_of(left)} and {kind_of(right)} cannot be added: {shown(left)} + {shown(right)}")


def minus(left: Value, right: Value) -> Value:
    """The difference of numbers.

    Raises:
        WrongValue: They are something else.
    """
    if is_number(left) and is_number(right):
        return left - right
    raise WrongValue(f"`-` takes numbers, not {kind_of(left)} and {kind_of(right)}")


def member(base: Value, name: str) -> Value:
    """A field of an object.

    Raises:
        WrongValue: There is none.
    """
    if isinstance(base, dict):
        if name in base:
            return base[name]
        raise WrongValue(
            f"there is no `{name}` in it", f"it has {', '.join(f'`{key}`' for key in base)}" if base else None
        )
    raise WrongValue(f"{kind_of(base)} has no fields: {shown(base)}")


def item(base: Value, index: Value) -> Value:
    """An item of a list, by its number from 0 (from the end, if negative); a field of an object; a character.

    Raises:
        WrongValue: There is none.
    """
    if isinstance(base, dict) and isinstance(index, str):
        return member(base, index)
    if isinstance(base, list | str) and isinstance(index, int) and not isinstance(index, bool):
        if -len(base) <= index < len(base):
            return base[index]
        raise WrongValue(f"there is no item {index}: it has {len(base)}", "the first is 0")
    raise WrongValue(f"{kind_of(base)} has no item {shown(index)}")


def is_empty(value: Value) -> bool:
    """Whether there is nothing in a value.

    Raises:
        WrongValue: It is a number or a truth value, which hold nothing anyway.
    """
    match value:
        case None:
            return True
        case str() | list() | dict():
            return not value
        case _:
            raise WrongValue(f"{kind_of(value)} is neither empty nor full: {shown(value)}")


def _length(value: Value) -> Value:
    if isinstance(value, str | list | dict):
        return len(value)
    raise WrongValue(f"{kind_of(value)} has no length")


FILTERS: dict[str, Callable[[Value], Value]] = {
    "upper": lambda value: as_text(value).upper(),
    "lower": lambda value: as_text(value).lower(),
    "trim": lambda value: as_text(value).strip(),
    "json": lambda value: json.dumps(value, ensure_ascii=False),
    "lines": lambda value: list(as_text(value).splitlines()),
    "length": _length,
    "sh": lambda value: shlex.quote(as_text(value)),
    "data": lambda value: block(as_text(value), "script"),
    "raw": lambda value: value,
}
"""What `| name` in a hole does."""
