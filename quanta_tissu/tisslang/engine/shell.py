r"""Commands with holes: what fills a hole never becomes text of the shell.

`RUN "grep {{word}} notes.txt"` runs `grep "$TISS_1" notes.txt` with the word in the environment variable `TISS_1`.
How the variable is written depends on the quotes around the hole:

    grep {{word}}             grep "$TISS_1"
    echo "found: {{word}}"    echo "found: ${TISS_1}"
    echo 'found: {{word}}'    echo 'found: '"${TISS_1}"''

A list outside of quotes stands for as many arguments. Where no quoting keeps a value from being read as text
(inside `$((...))`, `${...}`, here-documents, comments), holes are refused. A program that is given as an argument
(`sh -c "... {{word}}"`, `python -c`, `eval`) reads its text again, so a hole in one counts as `| raw`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from quanta_tissu.tisslang.engine.values import Unknown, Value, WrongValue, as_text, holds_unknown, text_of


class ShellText:
    """A command as it is put together, from text of the script and values.

    Attributes:
        variables: What the variables in it stand for.
        raw: Whether a value became text of the shell.
    """

    def __init__(self) -> None:
        self.variables: dict[str, Value] = {}
        self.raw = False
        self._said: list[str] = []
        self._unknown = False
        self._quotes = _Quotes()

    @property
    def command(self) -> Value:
        """The text for the shell."""
        text = "".join(self._said)
        return Unknown(text) if self._unknown else text

    def text(self, piece: str) -> None:
        """Add text that stands in the script."""
        self._said.append(piece)
        self._quotes.read(piece)

    def raw_value(self, value: Value) -> None:
        """Add a value as text of the shell."""
        self.raw = True
        self._unknown = self._unknown or holds_unknown(value)
        self.text(as_text(text_of(value)))

    def value(self, value: Value) -> None:
        """Add a value as an argument, or a part of one.

        Raises:
            WrongValue: The hole stands where no quoting helps.
        """
        where = self._quotes.where
        if where in _REFUSED:
            raise WrongValue(
                f"a hole {_REFUSED[where]} cannot be kept from being read as text of the shell",
                "give it as an argument, or write it to a file with WRITE",
            )
        self.raw = self.raw or _PROGRAM.search("".join(self._said)) is not None
        if isinstance(value, list) and where == "plain":
            self._said.append(" ".join(f'"${self._variable(one)}"' for one in value))
        elif where == "single":
            self._said.append(f"'\"${{{self._variable(value)}}}\"'")
        elif where == "double":
            self._said.append(f"${{{self._variable(value)}}}")
        else:
            self._said.append(f'"${{{self._variable(value)}}}"')
        self._quotes.value()

    def _variable(self, value: Value) -> str:
        name = f"TISS_{len(self.variables) + 1}"
        self.variables[name] = text_of(value)
        if "\0" in as_text(value):
            raise WrongValue("an argument of a command cannot have a character 0 in it", "write it to a file")
        return name


_REFUSED = {
    "arithmetic": "in an arithmetic or other expansion of the shell",
    "here-document": "after `<<` of the shell",
    "comment": "in a comment of the shell",
    "escape": "after a backslash",
    "ansi": "in `$'...'`",
}

_PROGRAM = re.compile(
    r"""(?:^|[\s;&|(`/])
    (?: (?:ba|da|z|k|a|fi)?sh \b [^;&|]*? \s -\w*c \s+
      | (?:python|perl|ruby|node|php|lua)[\d.]* \b [^;&|]*? \s -\w*[cer] \s+
      | su \b [^;&|]*? \s (?:-\w*c|--command) [\s=]+
      | (?:eval|ssh|watch|trap|xargs|parallel|g?awk) \b [^;&|]*? [\s]
    )
    (?: "[^"]* | '[^']* | [^\s"';&|]* ) $""",
    re.VERBOSE,
)
"""A command whose next argument, or the one that is being written, is a program."""


class _Quotes:
    """Follows which quotes of the shell a place stands in."""

    def __init__(self) -> None:
        self._open: list[str] = []  # of ' " $( ( ` $(( ${ #, from the outside in
        self._here = False
        self._escape = False
        self._word = False  # whether the place is inside of a word, where # begins no comment

    @property
    def where(self) -> str:
        """plain, single, double, or what holes are refused in."""
        if self._escape:
            return "escape"
        if self._here:
            return "here-document"
        if "$((" in self._open:
            return "arithmetic"
        last = self._open[-1] if self._open else ""
        return {"'": "single", '"': "double", "${": "arithmetic", "#": "comment", "$'": "ansi"}.get(last, "plain")

    def value(self) -> None:
        """A value stands here."""
        self._word = True

    def read(self, text: str) -> None:
        """Go on over text of the shell."""
        at = 0
        while at < len(text):
            at += self._one(text, at)

    def _one(self, text: str, at: int) -> int:
        """Read what begins at a place; returns how long it is."""
        last = self._open[-1] if self._open else ""
        here = text[at]
        if last == "'":
            if here == "'":
                self._open.pop()
            return 1
        if last == "#":
            if here == "\n":
                self._open.pop()
                self._word = False
            return 1
        if here == "\\":
            self._word = True
            self._escape = at + 1 == len(text)
            return 2
        if last == "$'":
            if here == "'":
                self._open.pop()
            return 1
        if text.startswith("$'", at) and last != '"':
            self._open.append("$'")
            return 2
        for opening in ("$((", "$(", "${"):
            if text.startswith(opening, at):
                self._open.append(opening)
                self._word = False
                return len(opening)
        if here == "`":
            self._toggle("`")
            return 1
        if here == '"':
            self._toggle('"')
            self._word = True
            return 1
        if last == '"':
            return 1
        return self._plain(text, at, last)

    def _plain(self, text: str, at: int, last: str) -> int:
        """Read what only means something outside of quotes."""
        here = text[at]
        if last == "$((" and text.startswith("))", at):
            self._open.pop()
            return 2
        if (here == "}" and last == "${") or (here == ")" and last in ("$(", "(")):
            self._open.pop()
            self._word = True
            return 1
        if here == "'":
            self._open.append("'")
            self._word = True
            return 1
        if here == "(":
            self._open.append("(")
        elif here == "#" and not self._word and last not in ("${", "$(("):
            self._open.append("#")
        elif text.startswith("<<", at) and not text.startswith("<<<", at) and last != "$((":
            self._here = True
            return 2
        elif text.startswith("<<<", at):
            self._word = False
            return 3
        self._word = not (here.isspace() or here in ";&|()<>")
        return 1

    def _toggle(self, quote: str) -> None:
        if self._open and self._open[-1] == quote:
            self._open.pop()
        else:
            self._open.append(quote)


def as_shown(command: str, variables: Sequence[tuple[str, str]]) -> str:
    """A command with its variables in place, for people to read; the shell never gets it."""
    for name, value in reversed(variables):
        for written in (f"'\"${{{name}}}\"'", f'"${{{name}}}"', f'"${name}"', f"${{{name}}}"):
            command = command.replace(written, shlex.quote(value))
    return command


def as_written(command: str, variables: Mapping[str, str]) -> str:
    """A command with its variables in place as they are, as it stands in the script."""
    for name, value in reversed(list(variables.items())):
        for written in (f"'\"${{{name}}}\"'", f'"${{{name}}}"', f'"${name}"', f"${{{name}}}"):
            command = command.replace(written, value)
    return command
