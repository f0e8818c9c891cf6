"""What users see while kernels are compiled: the one place that says so, for every command that runs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

TITLE = "compiling kernels, first run only"


class KernelCommand(click.Command):
    """A command that runs kernels: on the first run on a machine, it says that it compiles them."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with compilation_shown():
            return super().invoke(ctx)


@contextmanager
def compilation_shown() -> Iterator[Compilation]:
    """Show on standard error what is compiled inside a `with` block.

    A terminal gets a spinner with the kernel's name, how many there were, and the time; it goes when nothing is
    being compiled. Elsewhere there is one line, before the first kernel.

    Yields:
        The display, which counts.
    """
    from quanta_tissu.cli.console import error_console
    from quanta_tissu.tisslm.engine.jit import compilations

    display = Compilation(error_console())
    with compilations(display):
        yield display


class Compilation:
    """Listens to the compiler and shows it.

    Args:
        console: Where to.

    Attributes:
        kernels: How many kernels have been compiled.
        seconds: How long that took.
    """

    def __init__(self, console: Console) -> None:
        self.kernels = 0
        self.seconds = 0.0
        self._console = console
        self._names: list[str] = []  # of the kernels under way, each called by the one before
        self._began = 0.0
        self._live: Live | None = None

    def __call__(self, kernel: str, seconds: float | None) -> None:
        """Take what the compiler says: a kernel is begun, or was done in some seconds."""
        if seconds is None:
            self._names.append(kernel)
            self._show()
            return
        self._names.pop()
        self.kernels += 1
        self.seconds += seconds
        if not self._names:
            self._hide()

    def _show(self) -> None:
        if not self._console.is_terminal:
            if not self.kernels and len(self._names) == 1:
                self._console.print(f"{TITLE} …", markup=False, highlight=False)
            return
        if self._live is None:
            from rich.live import Live

            self._began = perf_counter() - self.seconds
            # Nothing else is printed meanwhile, so there is nothing to redirect.
            self._live = Live(
                self, console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start(refresh=True)

    def _hide(self) -> None:
        """Leave the terminal to what is printed next."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One line: a moving sign, and what is going on."""
        from rich.text import Text

        seconds = perf_counter() - self._began
        sign = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(10 * seconds) % 10] if console.encoding.startswith("utf") else "-"
        now = self._names[-1] if self._names else ""
        text = f"{sign} {TITLE}: {self.kernels} done in {seconds:.0f} s, now {now}"
        yield Text(text, no_wrap=True, overflow="ellipsis")
