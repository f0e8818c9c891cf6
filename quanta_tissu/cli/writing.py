"""Files that a command writes where its user says: whole or not at all, and never over something else."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from quanta_tissu.cli.failures import remedy
from quanta_tissu.errors import DataError

Ours = Callable[[bytes], bool]
"""Whether a file that begins so (4 KiB) is what a command writes, and may be replaced."""


def write_text(path: Path, text: str, *, ours: Ours | None = None) -> None:
    """Write a file; see `replacing`.

    Args:
        path: The file.
        text: What it shall hold, in UTF-8; characters that are none become question marks.
        ours: Whether what is there may be replaced.

    Raises:
        DataError: It is something else, or cannot be written; it is as it was.
    """
    with replacing(path, ours=ours) as file:
        file.write(text.encode(errors="replace"))


@contextmanager
def replacing(path: Path, *, ours: Ours | None = None) -> Iterator[BinaryIO]:
    """Write a file of which readers see the old content or the new one, whenever this ends.

    A file that is there keeps its permissions, and a link stays one. What is no file (a terminal, a pipe) is
    written to as it is.

    Args:
        path: The file.
        ours: Anything else that is there is not replaced. None: whatever is there was named to be changed.

    Yields:
        Where to write.

    Raises:
        DataError: It is something else, or cannot be written; it is as it was.
    """
    target = path.resolve()
    partial = target.parent / f".tissu-{secrets.token_hex(6)}.partial"
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
            return
        if ours is not None and not _may_replace(target, ours):
            raise DataError(
                f"{path} exists and is something else; it will not be replaced",
                hint="name another file, or move that one away",
            )
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            partial.chmod(target.stat().st_mode)
        partial.replace(target)
    except BrokenPipeError:
        raise  # its reader has what it wanted
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}", hint=remedy(error)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _may_replace(target: Path, ours: Ours) -> bool:
    if not target.exists():
        return True
    with target.open("rb") as file:
        beginning = file.read(4096)
    return not beginning or ours(beginning)
