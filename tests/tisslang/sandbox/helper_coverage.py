"""Which lines of the sandbox run in the helper processes of commands, for a measurement of coverage.

A helper becomes another user and is restricted by Landlock, so it could not write a file of coverage's own; nor
does it have the packages of the tests. It gets a few lines of Python in front, which note each line of the sandbox
that runs through a descriptor that was opened before; what was noted is added to the measurement in the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quanta_tissu.tisslang.sandbox import run

_PACKAGE = Path(run.__file__).parent
_DESCRIPTOR = 250  # none that the helper or a command uses

_IN_FRONT = f"""
import os, sys
_file = os.open(NOTES, os.O_WRONLY | os.O_APPEND)
os.dup2(_file, {_DESCRIPTOR}, inheritable=False)
os.close(_file)
def _note(frame, event, argument, seen=set()):
    folder, _, name = frame.f_code.co_filename.rpartition("/")
    if folder != {str(_PACKAGE)!r}:
        return None
    if event == "line" and (name, frame.f_lineno) not in seen:
        seen.add((name, frame.f_lineno))
        os.write({_DESCRIPTOR}, f"{{name}} {{frame.f_lineno}}\\n".encode())
    return _note
sys.settrace(_note)
"""


@contextmanager
def noted_lines(notes: Path) -> Iterator[dict[str, set[int]]]:
    """Have helpers note what they run; file → lines, filled when this ends."""
    found: dict[str, set[int]] = defaultdict(set)
    notes.touch()
    plain = run._START
    run._START = _IN_FRONT.replace("NOTES", repr(str(notes))) + plain
    try:
        yield found
    finally:
        run._START = plain
        for line in notes.read_text().splitlines():
            name, number = line.split()
            found[str(_PACKAGE / name)].add(int(number))
