"""What the commands about runs share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def project_option(function: F) -> F:
    """`--project FOLDER`."""
    return click.option(
        "--project",
        metavar="FOLDER",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="The project; by default the nearest folder above this one that has runs.",
    )(function)


def project_folder(given: Path | None) -> Path:
    """The project that is meant."""
    from quanta_tissu.tisslang.journal.runs import find_project

    return given.resolve() if given is not None else find_project(Path.cwd())


def moment(time: datetime | None) -> str:
    """A time as people read it, in the zone of the machine."""
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """A time that something took."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
