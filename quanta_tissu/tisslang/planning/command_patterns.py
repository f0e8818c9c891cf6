"""Patterns of commands: what a command is, with its holes as patterns, and whether one allows another.

`git push {{branch}}` is the pattern `git push *`: the star stands for what a hole may hold, which is a part of an
argument and never text of the shell. So it allows `git push main` and `git push 'a b'`, and neither
`git push --force main` nor `git push main; rm a`. `**` stands for any text of the shell, `[*]` for a star.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from quanta_tissu.tisslang.engine.effects import RunCommand
from quanta_tissu.tisslang.engine.values import Unknown, Value, as_text
from quanta_tissu.tisslang.planning.patterns import covers, pattern_of

ANY_COMMAND = "**"
"""The pattern of a command of which nothing is known."""

_INERT = re.compile(r"[\w@%+,./:-]")
"""What means nothing to the shell outside of quotes, wherever it stands in an argument."""

_HOLE = re.compile(r"""'"\$\{(?P<single>TISS_\d+)\}"'|"\$\{?(?P<plain>TISS_\d+)\}?"|\$\{(?P<double>TISS_\d+)\}""")
_PIECE = re.compile(r"\[\*\]|\*\*|\*|.", re.DOTALL)


def command_pattern(command: RunCommand) -> str:
    """The pattern of a command of a plan, in which holes that are known hold their values."""
    text = as_text(command.command)
    raw = isinstance(command.command, Unknown)
    made: list[str] = []
    end = 0
    for hole in _HOLE.finditer(text):
        where = hole.lastgroup or ""
        if hole[where] in command.variables:
            made += (_text(text[end : hole.start()], raw=raw), _held(command.variables[hole[where]], where))
            end = hole.end()
    return "".join((*made, _text(text[end:], raw=raw)))


def _text(text: str, *, raw: bool) -> str:
    """Text of the shell; what is not known in it may be any."""
    if not raw:
        return text.replace("*", "[*]")
    return "".join("**" if one == "*" else one for one in _PIECE.findall(pattern_of(Unknown(text))))


def _held(value: Value, where: str) -> str:
    """What a hole holds, quoted as the place needs it: `plain`, or in `single` or `double` quotes."""
    made: list[str] = []
    known = ""
    for piece in _PIECE.findall(pattern_of(value)):
        if piece == "*":
            made += (_quoted(known, where) if known else "", piece)
            known = ""
        else:
            known += "*" if piece == "[*]" else piece
    return "".join(made) + (_quoted(known, where) if known or not made else "")


def _quoted(text: str, where: str) -> str:
    if where == "single":
        quoted = text.replace("'", "'\\''")
    elif where == "double":
        quoted = re.sub(r'(["\\$`])', r"\\\1", text)
    else:
        quoted = shlex.quote(text)
    return quoted.replace("*", "[*]")


def allows(whole: str, part: str) -> bool:
    """Whether all commands of one pattern are commands of another."""
    if ANY_COMMAND in _PIECE.findall(whole):
        return covers(whole, part)
    if ANY_COMMAND in _PIECE.findall(part):
        return False
    ahead = list(_read(whole))
    places = _after_holes({0}, ahead)
    for one in _read(part):
        places = _after_holes(
            {n + 1 for n in places if ahead[n : n + 1] == [one]}
            | {n for n in places if n < len(ahead) and ahead[n].kind == "hole" and one.fills_a_hole},
            ahead,
        )
    return len(ahead) in places


def _after_holes(places: set[int], ahead: list[_Char]) -> set[int]:
    """Places in a pattern, with those that are reached if holes hold nothing."""
    found = set(places)
    for n in sorted(places):
        while n < len(ahead) and ahead[n].kind == "hole":
            n += 1
            found.add(n)
    return found


_Kind: TypeAlias = Literal["inert", "quoted", "shell", "hole"]


class _Char(NamedTuple):
    """A character of a command as the shell reads it.

    Attributes:
        text: It.
        kind: `inert` characters stand for themselves; `shell` ones mean something; `quoted` ones mean something in
            double quotes, or are these; a `hole` is what a value fills.
    """

    text: str
    kind: _Kind

    @property
    def fills_a_hole(self) -> bool:
        """Whether it may be what a hole holds."""
        return self.kind in ("inert", "hole") or self == _Char('"', "quoted")


_BLANK = _Char(" ", "shell")


def _read(pattern: str) -> Iterator[_Char]:
    """The characters of a pattern; blanks between arguments are one, and at the ends none."""
    begun = blank = False
    for one in _characters(pattern):
        if one == _BLANK:
            blank = begun
            continue
        if blank:
            yield _BLANK
        yield one
        begun, blank = True, False


def _characters(pattern: str) -> Iterator[_Char]:
    """The characters of a pattern, without single quotes and without backslashes before others."""
    quote = ""
    escaped = empty = False
    for piece in _PIECE.findall(pattern):
        if piece == "*":
            yield _Char("*", "hole")
            empty = False
            continue
        char = "*" if piece == "[*]" else piece
        if escaped:
            escaped = False
            if quote and char not in '"\\$`\n':
                yield _Char("\\", "inert")
            yield _Char(char, "shell" if char == "\n" else "inert")
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote == "'":
            if char != "'":
                yield _Char(char, "inert")
            elif empty:
                yield _Char("", "inert")  # an argument, although there is nothing in it
            quote, empty = ("", False) if char == "'" else (quote, False)
        elif quote:
            quote = "" if char == '"' else quote
            yield _Char(char, "quoted" if char in '"$`' else "inert")
        elif char in ("'", '"'):
            quote, empty = char, True
            if char == '"':
                yield _Char(char, "quoted")
        elif char in " \t":
            yield _BLANK
        else:
            yield _Char(char, "inert" if _INERT.match(char) else "shell")
    if quote or escaped:  # it is never closed
        yield _Char(quote or "\\", "shell")
