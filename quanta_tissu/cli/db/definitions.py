"""`tissu db create`, `alter`, `index`, `tune` and `drop`: what a database consists of."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from quanta_tissu.cli.db.opening import collection_argument, counted, database_argument, opened, require_collection
from quanta_tissu.cli.numbers import SECONDS
from quanta_tissu.errors import ConfigError, DataError


@click.command("create")
@database_argument
@click.argument("collection", metavar="[COLLECTION]", required=False)
@click.option("--schema", metavar="FILE", type=click.Path(path_type=Path), help="JSON Schema of its documents.")
@click.option("--ttl", metavar="SECONDS", type=SECONDS, help="How long a document of it lives.")
def create_command(database: str, collection: str | None, schema: Path | None, ttl: float | None) -> None:
    """Make a database, or a collection in it.

    What is there already stays: only settings that contradict it are refused.

    \b
    Examples:
      tissu db create notes.db
      tissu db create notes.db people --schema person.schema.json
      tissu db create notes.db sessions --ttl 3600
    """
    if collection is None and (schema is not None or ttl is not None):
        raise ConfigError("--schema and --ttl are settings of a collection", hint="name the collection after DB")
    settings: dict[str, Any] = {"schema": None if schema is None else _read_schema(schema), "ttl": ttl}
    with opened(database, make=True) as db:
        if collection is not None:
            db.create_collection(collection, **settings)
    click.echo(f"{database} is there" + ("" if collection is None else f", with the collection {collection}"))


@click.command("alter")
@database_argument
@collection_argument
@click.option("--schema", metavar="FILE", type=click.Path(path_type=Path), help="JSON Schema of its documents.")
@click.option("--no-schema", is_flag=True, help="Documents need no schema any more.")
@click.option("--ttl", metavar="SECONDS", type=SECONDS, help="How long a document lives that comes from now on.")
@click.option("--no-ttl", is_flag=True, help="Documents that come from now on stay.")
def alter_command(
    database: str, collection: str, schema: Path | None, no_schema: bool, ttl: float | None, no_ttl: bool
) -> None:
    """Give a collection another schema or time to live; what is not named stays as it is.

    Documents that are there are checked against a new schema: if one is against it, nothing is altered.

    \b
    Examples:
      tissu db alter notes.db people --schema person.schema.json
      tissu db alter notes.db sessions --ttl 7200 --no-schema
    """
    for name, value, none in (("schema", schema, no_schema), ("ttl", ttl, no_ttl)):
        if value is not None and none:
            raise ConfigError(f"--{name} and --no-{name} contradict each other", hint="say one of them")
    wanted: dict[str, Any] = {}
    if schema is not None or no_schema:
        wanted["schema"] = None if schema is None else _read_schema(schema)
    if ttl is not None or no_ttl:
        wanted["ttl"] = ttl
    if not wanted:
        raise ConfigError("nothing is to be altered", hint="--schema, --no-schema, --ttl or --no-ttl")
    with opened(database) as db:
        db.alter_collection(collection, **wanted)
    click.echo(f"{collection} has its new settings")


@click.command("index")
@database_argument
@collection_argument
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["value", "unique", "text", "vector"]),
    default="value",
    show_default=True,
    help="What it is for: values (also unique ones), words, or nearness of vectors.",
)
@click.option("--field", "fields", multiple=True, metavar="PATH", help="What it holds; may be repeated. [NAME]")
@click.option("--dimension", type=click.IntRange(1), help="Numbers in each vector.")
@click.option("--metric", type=click.Choice(["cosine", "dot", "l2"]), help="How near vectors are.")
@click.option("--storage", type=click.Choice(["float32", "int8", "bit"]), help="How vectors are kept. [float32]")
@click.option("--stemming/--no-stemming", default=None, help="Find other forms of English words. [on]")
def index_command(
    database: str, collection: str, name: str, kind: str, fields: tuple[str, ...], **options: Any
) -> None:
    """Make an index of what is in a collection and of what will come.

    \b
    Examples:
      tissu db index notes.db notes stars
      tissu db index notes.db people mail --kind unique --field contact.mail
      tissu db index notes.db notes words --kind text --field title --field body
      tissu db index notes.db notes meaning --kind vector --dimension 384
    """
    given = {key: value for key, value in options.items() if value is not None}
    with opened(database) as db:
        db.collection(collection).create_index(name, fields=fields or None, kind=kind, **given)  # type: ignore[arg-type]
    click.echo(f"{collection} has the {kind} index {name}")


@click.command("tune")
@database_argument
@collection_argument
@click.argument("index")
@click.option(
    "--recall",
    type=float,
    default=0.95,
    show_default=True,
    help="Share of the nearest that is to be found; 1: search exactly again.",
)
@click.option("--k", type=click.IntRange(1), default=10, show_default=True, help="How many nearest.")
def tune_command(database: str, collection: str, index: str, recall: float, k: int) -> None:
    """Search an index of vectors approximately, if that is faster and finds enough.

    How much must be looked at is measured on the vectors that are there. Where it is not enough, or not faster,
    searches stay exact.

    \b
    Example:
      tissu db tune notes.db notes meaning --recall 0.98
    """
    with opened(database) as db:
        require_collection(db, collection)
        found = db.collection(collection).tune_index(index, recall=recall, k=k)
    way = "exactly" if found.search == "exact" else "approximately"
    click.echo(f"{index} of {collection} is searched {way}: {found.why}")
    if found.search == "approximate" and found.seconds is not None and found.exact_seconds is not None:
        click.echo(
            f"recall {found.recall:.3f}, with 95 % certainty above {found.at_least:.3f}, of the {k} nearest to "
            f"{found.queries:,} vectors"
        )
        click.echo(f"{found.seconds * 1e3:.2f} ms a search, {found.exact_seconds * 1e3:.2f} ms an exact one")


@click.command("drop")
@database_argument
@collection_argument
@click.option("--index", metavar="NAME", help="Drop this index, and leave the documents.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop_command(database: str, collection: str, index: str | None, yes: bool) -> None:
    """Remove a collection with all its documents, or an index of it.

    \b
    Examples:
      tissu db drop notes.db notes --index words
      tissu db drop notes.db notes --yes
    """
    with opened(database) as db:
        if index is not None:
            db.collection(collection).drop_index(index)
            click.echo(f"dropped the index {index} of {collection}")
            return
        require_collection(db, collection)
        held = counted(db.collection(collection).count(), "document")
        if not yes and not sys.stdin.isatty():
            raise click.UsageError(f"{collection} with {held} would be dropped: say --yes")
        if not yes:
            click.confirm(f"drop {collection} with {held}?", abort=True, err=True)
        db.drop_collection(collection)
    click.echo(f"dropped {collection} with {held}")


def _read_schema(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} holds a {type(found).__name__}, not a JSON Schema", hint="a schema is an object")
    return found
