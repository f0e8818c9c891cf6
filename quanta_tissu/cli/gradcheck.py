"""`tissu gradcheck`: prove every gradient, and write the certificate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.cli.failures import ExitCode
from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.wording import counted

if TYPE_CHECKING:
    from quanta_tissu.tisslm.inspect.certificate import Certificate

# Column of the table -> the checks whose worst error it shows.
COLUMNS: dict[str, tuple[str, ...]] = {
    "central\ndifferences": ("central differences", "central differences by tensor"),
    "fast =\nreference": ("fast = reference, float64",),
    "torch =\nreference": ("torch = reference",),
    "float32": ("float32", "fast = reference, float32"),
    "contract,\nlayout": ("contract", "fast: contract", "non-contiguous input", "fast: non-contiguous input"),
}


@click.command("gradcheck", cls=KernelCommand)
@click.option(
    "--op",
    "names",
    multiple=True,
    metavar="NAME",
    help="Prove only this op; may be repeated. `model` stands for whole models of every architecture.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the certificate, every check with its source, to this Markdown file.",
)
@click.option(
    "--benchmark", is_flag=True, help="Time every op forward and backward, beside PyTorch if it is there."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(names: tuple[str, ...], out: Path | None, benchmark: bool, as_json: bool) -> None:
    """Prove every gradient against finite differences.

    For every operation: the hand-derived gradient against central differences in float64, the compiled version
    against the readable one, and both against PyTorch if it is installed. Then the same for whole tiny models of
    every architecture, which takes most of a minute. Figures are relative errors. The exit code is 1 if a check
    fails.

    \b
    Examples:
      tissu gradcheck
      tissu gradcheck --op attention --op rope
      tissu gradcheck --benchmark --out certificate.md
    """
    from quanta_tissu.tisslm.inspect.gradcheck import gradcheck

    if out is not None and not out.parent.is_dir():  # told before a minute of work, not after it
        raise ConfigError(f"there is no folder {out.parent} to write {out.name} to", hint=f"mkdir -p {out.parent}")
    with _progress() as report:
        certificate = gradcheck(names or None, benchmark=benchmark, progress=report)
    if out is not None:
        out.write_text(certificate.to_markdown(), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(certificate.to_json()))
    else:
        _print(certificate, out)
    if not certificate.passed:
        click.get_current_context().exit(ExitCode.FAILURE)


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on standard error that names what is being checked; none where standard error is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from quanta_tissu.cli.console import error_console

    console = error_console()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("")
        yield lambda done, total, label: progress.update(bar, completed=done, total=total, description=label)


def _print(certificate: Certificate, out: Path | None) -> None:
    from rich.table import Table
    from rich.text import Text

    from quanta_tissu.cli.console import OutputConsole

    console = OutputConsole()
    table = Table("op", *COLUMNS, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    rows = list(certificate.rows())
    for op in dict.fromkeys(row.worst.op for row in rows):
        cells = []
        for checks in COLUMNS.values():
            found = [row.worst for row in rows if row.worst.op == op and row.worst.check in checks]
            worst = max(found, key=lambda check: (not check.passed, check.relative_error), default=None)
            error = "" if worst is None else f"{worst.relative_error:.1e}"
            cells.append(Text(error, style="" if worst is None or worst.passed else "bold red"))
        table.add_row(op, *cells)
    console.print(table)
    if certificate.timings:
        console.print(_timings(certificate))
    for check in certificate.failures:
        problem = check.detail or f"relative error {check.relative_error:.1e} is above {check.tolerance:.0e}"
        console.print(Text(f"FAILED {check.op}, {check.check}, {check.sample}: {problem}", style="red"))
    verdict = f"{counted(len(certificate.checks), 'check')}, {len(certificate.failures)} failed"
    console.print(f"{verdict}; worst relative error in double precision {certificate.worst:.1e}.")
    if "torch" not in certificate.environment:
        console.print("PyTorch is not installed, so nothing was compared with it (`pip install torch`).")
    if out is not None:
        console.print(f"Certificate written to {out}.", soft_wrap=True)


def _timings(certificate: Certificate) -> object:
    """The table of milliseconds."""
    from rich.table import Table

    names = ("reference", "fast", "torch")
    table = Table(
        "op", "size", *names, title="\nmilliseconds, forward and backward, one thread", box=None, pad_edge=False
    )
    for timing in certificate.timings:
        table.add_row(timing.op, timing.shape, *(timing.milliseconds_by(name) for name in names))
    for column in table.columns[2:]:
        column.justify = "right"
    return table
