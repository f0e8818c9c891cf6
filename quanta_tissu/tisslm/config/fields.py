"""What every configuration field allows, in words: one description for errors, YAML comments and the docs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from quanta_tissu.tisslm.config import Config, Section

_NOUNS = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "true or false"),
    str: ("text", "texts"),
}
_BOUNDS = {"ge": "at least", "gt": "greater than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True)
class FieldInfo:
    """One field of one section."""

    section: str
    name: str
    annotation: Any
    description: str
    default: Any
    bounds: tuple[tuple[str, float], ...]

    @property
    def key(self) -> str:
        """The dotted key, `train.max_steps`."""
        return f"{self.section}.{self.name}"

    @property
    def types(self) -> tuple[Any, ...]:
        """The members of the annotation without None: `int | None` gives `(int,)`."""
        if get_origin(self.annotation) in (Union, UnionType):
            return tuple(t for t in get_args(self.annotation) if t is not type(None))
        return (self.annotation,)

    @property
    def nullable(self) -> bool:
        """Whether null is allowed."""
        return type(None) in get_args(self.annotation)

    @property
    def is_text(self) -> bool:
        """Whether values are strings, so that `--set` need not guess a type."""
        return all(t is str or (get_origin(t) is Literal and isinstance(get_args(t)[0], str)) for t in self.types)

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a Literal, or nothing."""
        return tuple(c for t in self.types if get_origin(t) is Literal for c in get_args(t))

    @property
    def allowed(self) -> str:
        """What the field accepts, in words: `a whole number, at least 1, or null`."""
        words = " or ".join(_words(t) for t in self.types)
        if self.bounds:
            words += ", " + " and ".join(f"{_BOUNDS[kind]} {limit:g}" for kind, limit in self.bounds)
        return f"{words}, or null" if self.nullable else words


def _words(annotation: Any) -> str:
    if annotation in _NOUNS:
        return _NOUNS[annotation][0]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in args)
    if origin is list:
        return f"a list of {_NOUNS[args[0]][1]}"
    if origin is tuple:
        return f"a list of {len(args)} {_NOUNS[args[0]][1]}"
    if origin is dict:
        return f"a mapping of {_NOUNS[args[0]][1]} to {_NOUNS[args[1]][1]}"
    raise TypeError(f"describe {annotation} in config/fields.py")


@cache
def sections() -> dict[str, type[Section]]:
    """Section name to class, in the order of the YAML file."""
    kinds = {name: info.annotation for name, info in Config.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Section)}


def fields(section: str) -> Iterator[FieldInfo]:
    """The fields of one section, in order."""
    for name, info in sections()[section].model_fields.items():
        bounds = tuple(
            (kind, getattr(item, kind)) for item in info.metadata for kind in _BOUNDS if hasattr(item, kind)
        )
        yield FieldInfo(
            section=section,
            name=name,
            annotation=info.annotation,
            description=info.description or "",
            default=info.get_default(call_default_factory=True),
            bounds=bounds,
        )


@cache
def all_fields() -> dict[tuple[str, str], FieldInfo]:
    """Every field by (section, name), in the order of the YAML file."""
    return {(section, field.name): field for section in sections() for field in fields(section)}
