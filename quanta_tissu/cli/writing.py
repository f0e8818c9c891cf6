"""Files that a command writes where its user says: whole or not at all, and never over something else."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from quanta_tissu.cli.failures import remedy
from quanta_tissu.errors import DataError


def write_text(path: Path, text: str, *, ours: Callable[[bytes], bool] | None = None) -> None:
    """Write a file of which readers see the old text or the new one, whenever this ends.

    A file that is there keeps its permissions, and a link stays one. What is no file (a terminal, a pipe) is
    written to as it is.

    Args:
        path: The file.
        text: What it shall hold, in UTF-8; characters that are none become question marks.
        ours: Whether what a file begins with (4 KiB) is what this command writes; anything else that is there is
            not replaced. None: whatever is there was named to be changed.

    Raises:
        DataError: It is something else, or cannot be written; it is as it was.
    """
    content = text.encode(errors="replace")
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return
        if ours is not None and not _may_replace(target, ours):
            raise DataError(
                f"{path} exists and is something else; it will not be replaced",
                hint="name another file, or move that one away",
            )
        _replace(target, content)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}", hint=remedy(error)) from error


def _may_replace(target: Path, ours: Callable[[bytes], bool]) -> bool:
    if not target.exists():
        return True
    with target.open("rb") as file:
        beginning = file.read(4096)
    return not beginning or ours(beginning)


def _replace(target: Path, content: bytes) -> None:
    partial = target.parent / f".tissu-{secrets.token_hex(6)}.partial"
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            partial.chmod(target.stat().st_mode)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
