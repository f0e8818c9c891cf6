"""A profile as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from quanta_tissu.cli.console import OutputConsole
from quanta_tissu.tisslm.inspect.profile.text import COLUMNS, cells, operation, summary

if TYPE_CHECKING:
    from quanta_tissu.tisslm.inspect.profile import Profile, Row

# Where there is room for them only.
_WIDE = {"calls", "FLOPs", "bytes", "new", "kept"}
_WIDTH = 118


def show(profile: Profile) -> None:
    """Print the tables."""
    console = OutputConsole(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = OutputConsole(highlight=False, soft_wrap=False, width=_WIDTH)
    for line in summary(profile):
        console.print(line, markup=False, soft_wrap=True)
    tables = {
        "operation": [(operation(row), row) for row in profile.by_operation()],
        "module": [(row.module, row) for row in profile.by_module()],
        "layer": [(f"{row.layer} {row.module}", row) for row in profile.by_layer()],
    }
    for title, rows in tables.items():
        if rows:
            console.print(_table(title, rows, wide=console.width >= _WIDTH))


def _table(title: str, rows: Sequence[tuple[str, Row]], *, wide: bool) -> Table:
    shown = [index for index, column in enumerate(COLUMNS) if wide or column not in _WIDE]
    table = Table(box=None, pad_edge=False, title=" ")
    table.add_column(title, no_wrap=True)
    for index in shown:
        table.add_column(COLUMNS[index], justify="right", no_wrap=True)
    for name, row in rows:
        figures = cells(row)
        table.add_row(name, *(figures[index] for index in shown))
    return table
