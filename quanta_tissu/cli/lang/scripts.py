"""Finding and reading the scripts that a command is given."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from quanta_tissu.cli.failures import remedy
from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.source import SourceFile

LONGEST = 10_000_000
"""Bytes of a script that are read at most: what is longer was named by mistake, and may have no end."""


def read_scripts(paths: Sequence[str]) -> Iterator[SourceFile]:
    """The scripts of files, of folders with all in them, and of standard input (`-`).

    Raises:
        ScriptError: There is none, or one cannot be read.
    """
    for name in paths:
        if not name:
            raise ScriptError("the name of a script is empty", hint="is a variable of the shell not set?")
        path = Path(name)
        if name == "-":
            yield SourceFile(_decoded(sys.stdin.buffer.read(LONGEST + 1), "<stdin>"), "<stdin>")
        elif path.is_dir():
            found = sorted(path.rglob("*.tiss"))
            if not found:
                raise ScriptError(f"there is no script in {name}", hint="a script's name ends in .tiss")
            for one in found:
                yield read_script(one)
        else:
            yield read_script(path)


def read_script(path: Path) -> SourceFile:
    """Read one.

    Raises:
        ScriptError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return SourceFile(_decoded(file.read(LONGEST + 1), str(path)), str(path))
    except OSError as error:
        hint = remedy(error) or "name a script: plan.tiss"
        raise ScriptError(f"{path} cannot be read: {error.strerror}", hint=hint) from error


def _decoded(content: bytes, name: str) -> str:
    if len(content) > LONGEST:
        raise ScriptError(
            f"{name} is longer than {LONGEST:,} bytes",
            hint="is it a script? Large texts stay in files of their own",
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ScriptError(
            f"{name} is not UTF-8: byte {content[error.start]:#04x} at {error.start}", hint="save it as UTF-8"
        ) from error
