"""Progress of work that reads text: how much, how fast, how long to go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def reading(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error while a block reads text; none where standard error is no terminal.

    Args:
        title: What is being done.
        total: Bytes to read, roughly.

    Yields:
        A function to call with the bytes read so far.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as SpeedColumn

    from quanta_tissu.cli.console import error_console

    console = error_console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        SpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
