"""Tables on standard output. Import it only where something is shown: Rich takes a while to load."""

from __future__ import annotations

from rich.console import Console


class OutputConsole(Console):
    """A Rich console that leaves a reader who went away to the top of the program.

    Rich itself would end the process with exit code 1, which for `tissu gradcheck` means a wrong gradient.
    """

    def on_broken_pipe(self) -> None:
        """Let the exception through, so that the exit code is that of every other command."""
        raise
