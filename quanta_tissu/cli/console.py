"""Tables on standard output, progress on standard error.

Import it only where something is shown: Rich takes a while to load.
"""

from __future__ import annotations

from functools import cache

from rich.console import Console


class OutputConsole(Console):
    """A Rich console that leaves a reader who went away to the top of the program.

    Rich itself would end the process with exit code 1, which for `tissu gradcheck` means a wrong gradient.
    """

    def on_broken_pipe(self) -> None:
        """Let the exception through, so that the exit code is that of every other command."""
        raise


@cache
def error_console() -> Console:
    """The console for progress; one for all, so that what moves at the same time shares the terminal."""
    return Console(stderr=True, soft_wrap=True)
