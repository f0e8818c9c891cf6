"""`tissu replay`."""

from __future__ import annotations

from pathlib import Path

import click

from quanta_tissu.cli.run.making import json_option
from quanta_tissu.cli.runs.shared import project_folder, project_option


@click.command("replay")
@click.argument("run", metavar="RUN")
@project_option
@json_option
def command(run: str, project: Path | None, as_json: bool) -> None:
    """Tell a run again from its record: nothing is done or written.

    The script is interpreted anew, with what is recorded for the outcome of each effect; the end must be the same.

    \b
    Examples:
      tissu replay 20261122-093000-a1b2
      tissu replay 20261122-093000-a1b2 --json
    """
    from quanta_tissu.cli.run.making import tell
    from quanta_tissu.cli.run.watching import Events, Progress
    from quanta_tissu.tisslang.journal.runs import find_run
    from quanta_tissu.tisslang.running.lifecycle import replay

    watcher = Events() if as_json else Progress(verbose=False)
    ending = replay(find_run(run, project_folder(project)), watcher=watcher)
    tell(ending, watcher)
