"""Patterns of texts of which not all is known: `*` stands for any text, `[*]` for a star.

`out/{name}.txt` of a plan is the pattern `out/*.txt`. Braces in what is known may look like a hole, and make a
pattern wider than it need be, never narrower.
"""

from __future__ import annotations

import re

from quanta_tissu.tisslang.engine.values import Unknown, Value, as_text, holds_unknown

_PART = re.compile(r"\[\*\]|\*|[^*]", re.DOTALL)


def pattern_of(value: Value) -> str:
    """The pattern of a value of a plan."""
    if isinstance(value, Unknown):
        return _shape(value.shape)
    return "*" if holds_unknown(value) else _literal(as_text(value))


def path_pattern(value: Value) -> str:
    """The pattern of a path of a plan. `..` stays: what fills a hole may have it as well."""
    if isinstance(value, Unknown) or holds_unknown(value):
        return pattern_of(value)
    parts = [one for one in as_text(value).split("/") if one not in ("", ".")]
    return _literal(("/" if as_text(value).startswith("/") else "") + "/".join(parts))


def covers(whole: str, part: str) -> bool:
    """Whether all texts of one pattern are texts of another."""
    ahead = _PART.findall(whole)
    places = {0}  # in `ahead`
    for char in ["", *_PART.findall(part)]:
        if char:
            places = {n for n in places if ahead[n : n + 1] == ["*"]} | {
                n + 1 for n in places if char != "*" and ahead[n : n + 1] == [char]
            }
        for n in sorted(places):
            while ahead[n : n + 1] == ["*"]:  # it may stand for nothing
                n += 1
                places.add(n)
    return len(ahead) in places


def _literal(text: str) -> str:
    return text.replace("*", "[*]")


def _shape(shape: str) -> str:
    made: list[str] = []
    depth = 0
    for char in shape:
        if char == "{":
            if depth == 0 and made[-1:] != ["*"]:
                made.append("*")
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        elif not depth:
            made.append(_literal(char))
    return "".join(made)
