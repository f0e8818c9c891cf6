"""`tissu report`."""

from __future__ import annotations

from pathlib import Path

import click

from quanta_tissu.cli.failures import ExitCode
from quanta_tissu.cli.runs.shared import project_folder, project_option


@click.command("report")
@click.argument("name", metavar="RUN", default="last")
@project_option
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Where to write it; - is standard output.  [default: RUN.html]",
)
@click.option(
    "--anchor",
    "anchors",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Compare with the ends of journals that were noted here (tissu audit --note).",
)
def command(name: str, project: Path | None, out: Path | None, anchors: Path | None) -> None:
    """Make a page of a run that people read: one file, without scripts.

    It shows what was asked and done, in which order and for how long, with commands and what they wrote,
    differences of files, prompts and answers, what people were asked and said, budgets, assertions, and if the
    record is whole. It needs nothing from elsewhere, follows the light or dark of the reader, and can be printed.
    Without a RUN it is of the last one. The exit code is 1 if the record is not what was written.

    \b
    Examples:
      tissu report
      tissu report 20261122-2345 --out review.html
    """
    from quanta_tissu.cli.writing import write_text
    from quanta_tissu.tisslang.journal.runs import find_run
    from quanta_tissu.tisslang.journal.verify import verify
    from quanta_tissu.tisslang.report.page import is_report, report

    folder = find_run(name, project_folder(project))
    verdict = verify(folder, anchors=anchors)
    page = report(folder, verdict)
    if out is not None and str(out) == "-":
        click.echo(page, nl=False)
    else:
        out = out or Path(f"{folder.name}.html")
        write_text(out, page, ours=is_report)
        click.echo(str(out))
    if not verdict.ok:
        click.echo(f"the record is not what was written: tissu audit {folder.name} shows where", err=True)
        click.get_current_context().exit(ExitCode.FAILURE)
