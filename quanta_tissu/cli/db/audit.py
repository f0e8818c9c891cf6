"""`tissu db audit`: the log, and whether it is what it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.cli.db.opening import database_argument, json_option, moment_text, opened

if TYPE_CHECKING:
    from quanta_tissu.tissdb.log import Entry


@click.group("audit")
def command() -> None:
    """See who changed what and when, and whether this record is untouched.

    \b
    Examples:
      tissu db audit log notes.db --since 1200
      tissu db audit anchor notes.db /mnt/elsewhere/anchors
      tissu db audit verify notes.db --anchors /mnt/elsewhere/anchors
    """


@command.command("verify")
@database_argument
@click.option("--anchors", metavar="FILE", type=click.Path(path_type=Path), help="Ends of the log noted before.")
@json_option
@click.pass_context
def verify_command(ctx: click.Context, database: str, anchors: Path | None, as_json: bool) -> None:
    """Replay the log: entries altered, missing, added or moved break its chain of hashes.

    That the end was cut off, or all of it written anew, only anchors show that were kept where those who can write
    the database cannot. Exit code 1 if something is wrong.
    """
    with opened(database) as db:
        report = db.verify_log(anchors)
    if as_json:
        figures = {"ok": report.ok, "entries": report.entries, "head": report.head.hash.hex()}
        click.echo(json.dumps(figures | {"anchors": report.anchors, "problem": report.problem, "seq": report.seq}))
    elif report.problem is not None:
        click.echo(f"{database}: {report.problem}")
    else:
        compared = f", and {report.anchors} anchors are in it" if anchors else "; not compared with any anchor"
        click.echo(f"{database}: the chain of {report.entries:,} entries holds{compared}")
    ctx.exit(0 if report.ok else 1)


@command.command("anchor")
@database_argument
@click.argument("file", type=click.Path(path_type=Path))
def anchor_command(database: str, file: Path) -> None:
    """Note the end of the log in a file, one line each time.

    Keep the file where those who can write the database cannot: `tissu db audit verify --anchors FILE` then finds
    a log that was cut or rewritten.
    """
    with opened(database) as db:
        head = db.anchor(file)
    click.echo(f"noted entry {head.seq:,} of {database} in {file}")


@command.command("log")
@database_argument
@click.option("--since", metavar="N", default=0, type=click.IntRange(0), help="Entries after this number.")
@click.option("--collection", metavar="NAME", help="Entries of one collection.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each entry.")
def log_command(database: str, since: int, collection: str | None, refused: bool, as_json: bool) -> None:
    """List the log: every change, and every action that was refused."""
    with opened(database) as db:
        for entry in db.log(since, collection=collection):
            if not (refused and entry.ok):
                click.echo(json.dumps(entry_fields(entry)) if as_json else entry_line(entry))


def entry_fields(entry: Entry) -> dict[str, Any]:
    """An entry in JSON's types."""
    return {
        "seq": entry.seq,
        "time": entry.time,
        "actor": entry.actor,
        "action": entry.action,
        "ok": entry.ok,
        "collection": entry.collection,
        "id": entry.id,
        "digest": None if entry.digest is None else bytes(entry.digest).hex(),
        "detail": None if entry.detail is None else json.loads(entry.detail),
        "hash": bytes(entry.hash).hex(),
    }


def entry_line(entry: Entry) -> str:
    """An entry as people read it."""
    where = "/".join(part for part in (entry.collection, entry.id) if part is not None)
    refused = "" if entry.ok else "REFUSED "
    detail = "" if entry.detail is None else f"  {entry.detail}"
    return f"{entry.seq:>8}  {moment_text(entry.time)}  {entry.actor}  {refused}{entry.action}  {where}{detail}"
