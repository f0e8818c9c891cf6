"""Grammars as data: what rules are made of, whatever they are written in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """These characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Ref:
    """What another rule stands for."""

    name: str


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set, as regular expressions write it: `[^"a-z]`."""

    set: str


@dataclass(frozen=True, slots=True)
class Seq:
    """One after the other."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """One of them."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same several times: `?`, `*` or `+`."""

    item: Expr
    times: str


@dataclass(frozen=True, slots=True)
class Without:
    """The first, if it is not the second."""

    item: Expr
    other: Expr


Expr = Literal | Ref | Chars | Seq | Alt | Repeat | Without

Rules = dict[str, Expr]
"""Rules by name; the first is where a text starts."""


def seq(*items: Expr | str) -> Expr:
    """One after the other; texts are literals, sequences in it are taken apart."""
    found: list[Expr] = []
    for one in items:
        item = Literal(one) if isinstance(one, str) else one
        found += item.items if isinstance(item, Seq) else (item,)
    return found[0] if len(found) == 1 else Seq(tuple(found))


def alt(*items: Expr | str) -> Expr:
    """One of them."""
    found: list[Expr] = []
    for one in items:
        item = Literal(one) if isinstance(one, str) else one
        found += item.items if isinstance(item, Alt) else (item,)
    return found[0] if len(found) == 1 else Alt(tuple(found))


def maybe(*items: Expr | str) -> Expr:
    """All of them, or nothing."""
    return Repeat(seq(*items), "?")


def many(*items: Expr | str) -> Expr:
    """All of them, any number of times."""
    return Repeat(seq(*items), "*")


def some(*items: Expr | str) -> Expr:
    """All of them, once or more."""
    return Repeat(seq(*items), "+")


EMPTY = Seq(())
"""Nothing."""
