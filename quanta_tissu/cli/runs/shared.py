"""What the commands about runs share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from quanta_tissu.tisslang.journal.secrets import SecretStore

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


def refuse_other(anchors: Path | None) -> None:
    """Refuse a file to which ends of journals would be added, and which holds something else.

    Raises:
        JournalError: It does.
    """
    from quanta_tissu.tisslang.journal.anchor import read_anchors

    if anchors is not None and anchors.is_file():
        read_anchors(anchors)


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


def open_secrets() -> SecretStore:
    """The user's secrets; the passphrase of an encrypted file is asked for, where somebody can be asked."""
    from quanta_tissu.tisslang.journal.secrets import PASSPHRASE, SecretStore

    store = SecretStore()
    if store.is_encrypted() and not os.environ.get(PASSPHRASE) and sys.stdin.isatty():
        store = SecretStore(passphrase=click.prompt("passphrase of your secrets", hide_input=True, err=True))
    return store
