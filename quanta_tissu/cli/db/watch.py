"""`tissu db watch`: changes as they come."""

from __future__ import annotations

import json

import click

from quanta_tissu.cli.db.audit import entry_fields, entry_line
from quanta_tissu.cli.db.opening import database_argument, opened
from quanta_tissu.cli.numbers import FiniteRange


@click.command("watch")
@database_argument
@click.argument("collection", metavar="[COLLECTION]", required=False)
@click.option("--since", metavar="N", type=click.IntRange(0), help="Begin after this number of the log. [now]")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=FiniteRange(0),
    help="End when nothing has changed for so long. [never]",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each change.")
def command(
    database: str, collection: str | None, since: int | None, timeout: float | None, as_json: bool
) -> None:
    """Print changes as they are made, by this process or others, until Ctrl-C.

    \b
    Examples:
      tissu db watch notes.db
      tissu db watch notes.db notes --since 1200 --json
    """
    with opened(database) as db:
        known = db.collections()
        if collection is not None and collection not in known:
            there = ", ".join(known) or "none"
            click.echo(f"there is no collection {collection!r} yet (there are: {there}); waiting for it", err=True)
        for entry in db.watch(since, collection=collection, timeout=timeout):
            click.echo(json.dumps(entry_fields(entry)) if as_json else entry_line(entry))
