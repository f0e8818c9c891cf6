"""`tissu db stats`, `verify`, `backup`, `restore` and `compact`: what a database needs in the long run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from quanta_tissu.cli.db.opening import (
    counted,
    database_argument,
    json_option,
    opened,
    print_table,
    read_key,
    secret,
)
from quanta_tissu.errors import ConfigError


@click.command("stats")
@database_argument
@json_option
def stats_command(database: str, as_json: bool) -> None:
    """Show collections with their documents and indexes, the size, and the end of the log.

    \b
    Example:
      tissu db stats notes.db
    """
    from quanta_tissu.tissdb.format import FORMAT

    with opened(database) as db:
        head = db.head()
        figures: dict[str, Any] = {
            "database": database,
            "uuid": db.uuid,
            "format": FORMAT,
            "bytes": db.size(),
            "log": {"entries": head.seq, "head": head.hash.hex()},
            "collections": {
                name: {
                    "documents": db.collection(name).count(),
                    "indexes": {index.name: index.kind for index in db.collection(name).indexes.values()},
                    "tuned": {
                        index.name: index.options["tuned"]
                        for index in db.collection(name).indexes.values()
                        if "tuned" in index.options
                    },
                }
                for name in db.collections()
            },
        }
    if as_json:
        click.echo(json.dumps(figures))
        return
    click.echo(f"{database}, format {FORMAT}, {figures['bytes']:,} bytes, {figures['uuid']}")
    click.echo(f"log: {head.seq:,} {'entry' if head.seq == 1 else 'entries'}, head {head.hash.hex()[:16]}…")
    if not figures["collections"]:
        click.echo("no collections yet")
        return
    print_table(
        ("collection", "documents", "indexes"),
        (
            (
                name,
                f"{one['documents']:,}",
                ", ".join(
                    f"{index} ({_said(kind, one['tuned'].get(index))})" for index, kind in one["indexes"].items()
                ),
            )
            for name, one in figures["collections"].items()
        ),
    )


def _said(kind: str, tuned: dict[str, Any] | None) -> str:
    return kind if tuned is None else f"{kind}, approximate: recall {tuned['recall']:.3f}"


@click.command("verify")
@database_argument
@json_option
@click.pass_context
def verify_command(ctx: click.Context, database: str, as_json: bool) -> None:
    """Read all of a database and say what is wrong: file, documents, indexes and log.

    Exit code 1 if something is. `tissu db audit verify` also compares the log with anchors kept elsewhere.

    \b
    Example:
      tissu db verify notes.db && tissu db backup notes.db monday.db
    """
    with opened(database) as db:
        problems = db.check()
    if as_json:
        click.echo(json.dumps({"ok": not problems, "problems": problems}))
    else:
        for problem in problems:
            click.echo(problem)
        click.echo(
            f"{database}: {counted(len(problems), 'problem')}"
            if problems
            else f"{database}: everything is in its place"
        )
    ctx.exit(1 if problems else 0)


@click.command("backup")
@database_argument
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
def backup_command(database: str, target: Path) -> None:
    """Copy a database to a new file while others use it; the copy is checked before it is there.

    \b
    Example:
      tissu db backup notes.db monday.db
    """
    with opened(database) as db:
        db.backup(target)
    click.echo(f"wrote {target}: {target.stat().st_size:,} bytes, checked")


@click.command("restore")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("target", metavar="DB", type=click.Path(path_type=Path))
def restore_command(source: Path, target: Path) -> None:
    """Put a backup in the place of a database that is not there (any more); it is checked first.

    \b
    Example:
      tissu db restore monday.db notes.db
    """
    from quanta_tissu.tissdb.backup import restore

    restore(source, target, secret=secret())
    click.echo(f"restored {target} from {source}")


@click.command("compact")
@database_argument
def compact_command(database: str) -> None:
    """Remove what has expired and give unused space back; nobody else can write meanwhile.

    \b
    Example:
      tissu db compact notes.db
    """
    with opened(database) as db:
        before = db.size()
        expired = db.sweep()
        db.compact()
        after = db.size()
    click.echo(f"{database}: {before:,} -> {after:,} bytes, {counted(expired, 'expired document')} removed")


@click.command("rekey")
@click.argument("database", metavar="DB", type=click.Path(path_type=Path))
@click.option("--new-key-file", metavar="FILE", type=click.Path(path_type=Path), help="The new key.")
@click.option("--new-passphrase", "ask", is_flag=True, help="Ask for a new passphrase.")
@click.option("--decrypt", is_flag=True, help="Take the encryption away.")
def rekey_command(database: Path, new_key_file: Path | None, ask: bool, decrypt: bool) -> None:
    """Encrypt a database, change its key, or decrypt it, while nobody has it open.

    Its present key is that of --key-file, TISSDB_KEY_FILE or TISSDB_PASSPHRASE. Old backups keep their old key.

    \b
    Examples:
      tissu db rekey notes.db --new-key-file key
      tissu db --key-file key rekey notes.db --new-passphrase
    """
    from quanta_tissu.tissdb import Secret, rekey

    if [new_key_file is not None, ask, decrypt].count(True) != 1:
        raise click.UsageError("give one of --new-key-file, --new-passphrase and --decrypt")
    old, new = secret(), None
    if decrypt and old is None:
        raise ConfigError(
            f"decrypting {database} needs its key",
            hint="--key-file of `tissu db`, TISSDB_KEY_FILE or TISSDB_PASSPHRASE",
        )
    if new_key_file is not None:
        new = Secret(key=read_key(new_key_file))
    elif ask:
        new = Secret(
            passphrase=click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
        )
    rekey(database, old=old, new=new)
    click.echo(f"{database} {'is not encrypted any more' if new is None else 'is encrypted with the new key'}")
