"""Finding and reading the scripts that a command is given."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.source import SourceFile


def read_scripts(paths: Sequence[str]) -> Iterator[SourceFile]:
    """The scripts of files, of folders with all in them, and of standard input (`-`).

    Raises:
        ScriptError: There is none, or one cannot be read.
    """
    for name in paths:
        path = Path(name)
        if name == "-":
            yield SourceFile(_decoded(sys.stdin.buffer.read(), "<stdin>"), "<stdin>")
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
        return SourceFile(_decoded(path.read_bytes(), str(path)), str(path))
    except OSError as error:
        raise ScriptError(f"{path} cannot be read: {error.strerror}", hint="name a script: plan.tiss") from error


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ScriptError(
            f"{name} is not UTF-8: byte {content[error.start]:#04x} at {error.start}", hint="save it as UTF-8"
        ) from error
