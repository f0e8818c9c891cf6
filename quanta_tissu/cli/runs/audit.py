"""`tissu audit`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quanta_tissu.cli.failures import ExitCode
from quanta_tissu.cli.runs.shared import project_folder, project_option, refuse_other

if TYPE_CHECKING:
    from quanta_tissu.tisslang.journal.verify import Verdict


@click.command("audit")
@click.argument("names", nargs=-1, metavar="[RUN]...")
@project_option
@click.option(
    "--anchor",
    "anchors",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Compare with the ends of journals that were noted here.",
)
@click.option(
    "--note",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Note the ends of journals that are in order here, for later.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each run.")
@click.pass_context
def command(
    ctx: click.Context,
    names: Sequence[str],
    project: Path | None,
    anchors: Path | None,
    note: Path | None,
    as_json: bool,
) -> None:
    """Prove that records of runs are what was written.

    Without a RUN all of the project are looked at, and those that were removed are named. Records that were
    edited, exchanged, taken out, put in, branched or cut off at the end, and contents that are missing or altered,
    are found; the exit code is 1 then.

    The end of a journal is proved by an anchor in the project. Somebody who can write both could cut both: keep
    ends with --note in a file where they cannot write, one for each project, and compare with --anchor. Whoever
    removes a run removes .tissu/anchors/RUN.json, too.

    \b
    Examples:
      tissu audit last
      tissu audit
      tissu audit --note /mnt/elsewhere/anchors.jsonl
      tissu audit --anchor /mnt/elsewhere/anchors.jsonl
    """
    from quanta_tissu.errors import JournalError
    from quanta_tissu.tisslang.journal.anchor import append_anchor, read_anchor, read_anchors
    from quanta_tissu.tisslang.journal.runs import find_run, list_runs, removed_runs
    from quanta_tissu.tisslang.journal.verify import verify

    refuse_other(note)
    root = project_folder(project)
    folders = [find_run(name, root) for name in names] if names else list_runs(root)
    removed = [] if names else removed_runs(root)
    if anchors is not None and not names:
        removed = sorted({*removed, *read_anchors(anchors)} - {folder.name for folder in folders})
    if not folders and not removed:
        raise JournalError(f"there are no runs in {root}", hint="`tissu run SCRIPT` makes one")
    bad = bool(removed)
    for folder in folders:
        verdict = verify(folder, anchors=anchors)
        bad |= not verdict.ok
        _show(verdict, anchors, as_json)
        if note is not None and verdict.ok:
            end = read_anchor(folder)
            if end is None or end.hash != verdict.head:
                raise JournalError(
                    f"the end of {folder.name} cannot be noted: it is not anchored",
                    hint=f"`tissu resume {folder.name}` goes on with it, and anchors it",
                )
            append_anchor(note, end, durable=True)
    for name in removed:
        message = "was removed: it is anchored, and its folder is gone"
        click.echo(json.dumps({"run": name, "ok": False, "removed": True}) if as_json else f"{name}: {message}")
    if bad:
        ctx.exit(ExitCode.FAILURE)


def _show(verdict: Verdict, anchors: Path | None, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(verdict) | {"ok": verdict.ok}))
        return
    if verdict.ok:
        said = f"in order: the chain of {verdict.records} records holds"
        said += f", {verdict.blobs} contents are whole" if verdict.blobs else ""
        said += f", and {verdict.anchors} anchors of {anchors} are in it" if anchors else ""
        said += "; a process is going on with it" if verdict.running else ""
        click.echo(f"{verdict.run}: {click.style('ok', fg='green')}, {said}")
    else:
        click.echo(f"{verdict.run}: {click.style('CHANGED', fg='red', bold=True)}")
    for finding in verdict.findings:
        click.echo(f"  {'' if finding.severe else 'note: '}{finding.message}")
