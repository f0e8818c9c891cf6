"""`tissu runs`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from quanta_tissu.cli.runs.shared import duration, moment, project_folder, project_option

_COLOURS = {
    "done": "green",
    "failed": "red",
    "damaged": "red",
    "running": "cyan",
    "broken": "red",
    "paused": "yellow",
}


@click.command("runs")
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each run.")
def command(project: Path | None, as_json: bool) -> None:
    """List the runs of a project, the latest last.

    \b
    Examples:
      tissu runs
      tissu runs --json | jq 'select(.status == "failed")'
    """
    from quanta_tissu.tisslang.journal.runs import list_runs, summarise

    found = [summarise(one) for one in list_runs(project_folder(project))]
    found.sort(key=lambda one: (one.started is not None, one.started and one.started.timestamp(), one.id))
    if as_json:
        for one in found:
            times = {
                name: value and value.isoformat()
                for name, value in (("started", one.started), ("ended", one.ended))
            }
            click.echo(json.dumps(asdict(one) | times))
        return
    if not found:
        click.echo(f"no runs in {project_folder(project)}", err=True)
        return
    rows = [("RUN", "STATUS", "STARTED", "TOOK", "TOKENS", "COST", "SCRIPT")]
    for one in found:
        cost = f"{one.cost:.4f}" if one.cost else ""
        tokens = f"{one.tokens:,}" if one.tokens else ""
        rows.append((one.id, one.status, moment(one.started), duration(one.seconds), tokens, cost, one.script))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[1] = click.style(cells[1], fg=_COLOURS.get(row[1]))
        click.echo("  ".join(cells).rstrip())
