"""`tissu memory skill`: scripts with versions, and how they did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.cli.db.opening import database_argument, json_option, print_table, read_argument
from quanta_tissu.cli.generation_options import visible
from quanta_tissu.cli.memory.opening import (
    collection_option,
    embedder_option,
    json_record,
    moment,
    reasons,
    remembered,
)
from quanta_tissu.errors import DataError

if TYPE_CHECKING:
    from quanta_tissu.knowledge.memory import Skill, SkillLibrary

_collection_option = collection_option("skills")


@click.group("skill")
def group() -> None:
    """Keep scripts that work: with descriptions, versions, and a record of how they did.

    \b
    Examples:
      tissu memory skill add agent.db tidy tidy.tiss --description 'Sort the lines of a file'
      tissu memory skill search agent.db 'put lines in order'
      tissu memory skill record agent.db tidy worked
    """


@contextmanager
def _library(
    database: str, collection: str, embedder: str | None, *, make: bool = False
) -> Iterator[SkillLibrary]:
    from quanta_tissu.knowledge.memory import SkillLibrary

    with remembered(database, collection, embedder, make=make) as (db, chosen):
        yield SkillLibrary(db, chosen, collection)


@group.command("add", cls=KernelCommand)
@database_argument
@click.argument("name")
@click.argument("file")
@click.option("--description", metavar="TEXT", help="What it does.  [as before; a new skill needs one]")
@click.option("--language", default="tisslang", show_default=True, help="What a new skill is written in.")
@click.option("--note", default="", metavar="TEXT", help="Why this version was made.")
@_collection_option
@embedder_option
@json_option
def add_command(
    database: str,
    name: str,
    file: str,
    description: str | None,
    language: str,
    note: str,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Add a skill from a FILE, or a new version of it; FILE - reads standard input.

    \b
    Example:
      tissu memory skill add agent.db tidy tidy.tiss --description 'Sort the lines of a file'
    """
    if file == "-":
        text = read_argument("-", "the script")
    else:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{file} is not UTF-8 text: {error.reason}") from None
    with _library(database, collection, embedder, make=True) as library:
        skill = library.save(name, text, description, language=language, note=note)
    click.echo(_json(skill) if as_json else f"{name}: version {skill.current.number} is current")


@group.command("list")
@database_argument
@_collection_option
@embedder_option
@json_option
def list_command(database: str, collection: str, embedder: str | None, as_json: bool) -> None:
    """List the skills, with how their current versions did.

    \b
    Example:
      tissu memory skill list agent.db
    """
    with _library(database, collection, embedder) as library:
        skills = library.skills()
    if as_json:
        for skill in skills:
            click.echo(_json(skill))
        return
    if not skills:
        click.echo("no skills")
        return
    columns = ("name", "description", "language", "version", "worked", "failed", "surety")
    print_table(
        columns,
        (
            (
                visible(skill.name),
                visible(skill.description),
                visible(skill.language),
                f"{skill.current.number} of {skill.versions}",
                skill.current.successes,
                skill.current.failures,
                f"{skill.current.surety:.2f}",
            )
            for skill in skills
        ),
    )


@group.command("show")
@database_argument
@click.argument("name")
@click.option("--version", type=click.IntRange(1), metavar="N", help="Another version.  [the current one]")
@click.option("--history", is_flag=True, help="Show all versions and the record of uses instead of the script.")
@_collection_option
@embedder_option
@json_option
def show_command(
    database: str,
    name: str,
    version: int | None,
    history: bool,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Print the script of a skill, or what has become of it.

    \b
    Examples:
      tissu memory skill show agent.db tidy --version 1 > tidy.tiss
      tissu memory skill show agent.db tidy --history
    """
    if history and version is not None:
        raise click.UsageError("--history shows all versions: leave out --version")
    with _library(database, collection, embedder) as library:
        skill = library[name]
        if not history:
            chosen = skill.current if version is None else library.version(name, version)
            click.echo(
                json_record(chosen) if as_json else chosen.text, nl=as_json or not chosen.text.endswith("\n")
            )
            return
        versions, uses = library.versions(name), library.uses(name)
    for one in versions:
        if as_json:
            click.echo(json_record(one))
            continue
        mark = " (current)" if one.number == skill.current.number else ""
        note = f": {one.note}" if one.note else ""
        counts = f"worked {one.successes}, failed {one.failures}"
        click.echo(visible(f"version {one.number}{mark}, {moment(one.time)}, {counts}{note}"))
    for use in uses:
        if as_json:
            click.echo(json_record(use))
            continue
        result = "worked" if use.success else "failed"
        more = (f", run {use.run}" if use.run else "") + (f": {use.detail}" if use.detail else "")
        click.echo(visible(f"  {moment(use.time)}  version {use.version} {result}{more}"))


@group.command("search", cls=KernelCommand)
@database_argument
@click.argument("question")
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="How many skills at most.")
@_collection_option
@embedder_option
@json_option
def search_command(
    database: str, question: str, k: int, collection: str, embedder: str | None, as_json: bool
) -> None:
    """Find skills that do something, those that surely work first.

    \b
    Example:
      tissu memory skill search agent.db 'put lines in order'
    """
    with _library(database, collection, embedder) as library:
        found = library.search(question, k)
    for number, one in enumerate(found, 1):
        if as_json:
            click.echo(json_record(one))
            continue
        why = [f"relevance {one.relevance:.2f}", f"surety {one.surety:.2f}", *reasons(one.words, one.nearness)]
        click.echo(visible(f"{number}. {one.skill.name}: {one.skill.description}  ({', '.join(why)})"))
    if not found and not as_json:
        click.echo("nothing found")


@group.command("record")
@database_argument
@click.argument("name")
@click.argument("result", type=click.Choice(["worked", "failed"]))
@click.option(
    "--version", type=click.IntRange(1), metavar="N", help="The version that was used.  [the current one]"
)
@click.option("--detail", default="", metavar="TEXT", help="What happened.")
@click.option("--run", metavar="NAME", help="In which run.")
@_collection_option
@embedder_option
@json_option
def record_command(
    database: str,
    name: str,
    result: str,
    version: int | None,
    detail: str,
    run: str | None,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Note that a skill was used, and whether it worked.

    \b
    Example:
      tissu memory skill record agent.db tidy failed --detail 'no such file'
    """
    with _library(database, collection, embedder) as library:
        use = library.record(name, result == "worked", version=version, detail=detail, run=run)
        used = library.version(name, use.version)
    counts = f"worked {used.successes}, failed {used.failures}"
    click.echo(json_record(use) if as_json else f"{name}, version {use.version}: {counts}")


@group.command("rollback", cls=KernelCommand)
@database_argument
@click.argument("name")
@click.argument("version", type=click.IntRange(1))
@_collection_option
@embedder_option
@json_option
def rollback_command(
    database: str, name: str, version: int, collection: str, embedder: str | None, as_json: bool
) -> None:
    """Make another version the current one; all stay.

    \b
    Example:
      tissu memory skill rollback agent.db tidy 1
    """
    with _library(database, collection, embedder) as library:
        skill = library.roll_back(name, version)
    click.echo(_json(skill) if as_json else f"{name}: version {version} is current")


@group.command("delete")
@database_argument
@click.argument("name")
@_collection_option
@embedder_option
def delete_command(database: str, name: str, collection: str, embedder: str | None) -> None:
    """Forget a skill, with all its versions and the record of its uses.

    \b
    Example:
      tissu memory skill delete agent.db tidy
    """
    with _library(database, collection, embedder) as library:
        library.delete(name)
    click.echo(f"{name}: deleted")


def _json(skill: Skill) -> str:
    """A skill as one line of JSON, with its surety."""
    return json.dumps(json.loads(json_record(skill)) | {"surety": skill.current.surety}, ensure_ascii=False)
