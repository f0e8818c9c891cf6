"""`tissu db put`, `get` and `delete`: single documents."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import click

from quanta_tissu.cli.db.opening import (
    collection_argument,
    database_argument,
    json_line,
    json_option,
    opened,
    pretty_json,
    read_argument,
    require_collection,
)
from quanta_tissu.cli.numbers import SECONDS
from quanta_tissu.errors import ConfigError, NotFoundError

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_id_argument = click.argument("id", metavar="ID")
_revision_option = click.option(
    "--revision", metavar="N", type=int, help="Only if the document still has this revision."
)


@click.command("put")
@database_argument
@collection_argument
@click.argument("document", metavar="[JSON | -]", required=False)
@click.option("--id", help="The document's id; `_id` in the document is the same. By default a new one.")
@click.option("--patch", is_flag=True, help="Change these fields only (JSON Merge Patch): null removes one.")
@_revision_option
@click.option("--ttl", metavar="SECONDS", type=SECONDS, help="Let it live so long.")
@click.option("--key", help="Idempotency key: what was done under it is not done again.")
@json_option
def put_command(
    database: str,
    collection: str,
    document: str | None,
    id: str | None,
    patch: bool,
    revision: int | None,
    ttl: float | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Store a document: a new one, or in the place of the one that has its id.

    \b
    Examples:
      tissu db put notes.db notes '{"title": "A first note"}'
      tissu db put notes.db notes --id first - < note.json
      tissu db put notes.db notes --id first --patch '{"stars": 5}' --revision 12
    """
    from quanta_tissu.tissdb.jsonl import new_document
    from quanta_tissu.tissdb.values import decode_json

    value = decode_json(read_argument(document, "the document"))
    known = id is not None or (isinstance(value, dict) and value.get("_id") is not None)
    if not known and (patch or revision is not None):
        raise ConfigError("--patch and --revision are about a document that is there", hint="name it with --id")
    new = new_document(value, id=id)
    expires = _EPOCH + dt.timedelta(microseconds=new.expires) if new.expires is not None else None
    settings: dict[str, Any] = {
        "vectors": new.vectors or None,
        "expires": expires if ttl is None else dt.timedelta(seconds=ttl),
        "key": key,
    }
    if new.expires is not None and new.expires <= time.time() * 1e6:
        raise ConfigError(
            f"_expires is {new.expires}, which is over: the document would be gone at once",
            hint='microseconds since 1970, or {"$datetime": "2027-01-01T00:00:00Z"}; or --ttl SECONDS',
        )
    with opened(database) as db:
        into = db.collection(collection)
        if patch:
            written = into.patch(new.id, new.value, revision=revision, **settings)
        elif revision is not None:
            written = into.replace(new.id, new.value, revision=revision, **settings)
        elif known:
            written = into.upsert(new.id, new.value, **settings)
        else:
            written = into.insert(new.value, id=new.id, **settings)
    answer = {"_id": written.id, "_rev": written.revision}
    click.echo(json_line(answer) if as_json else f"{written.id} has revision {written.revision}")


@click.command("get")
@database_argument
@collection_argument
@_id_argument
@click.option("--json", "as_json", is_flag=True, help="Print it in one line.")
def get_command(database: str, collection: str, id: str, as_json: bool) -> None:
    """Print a document, with its id, revision and times in microseconds.

    \b
    Example:
      tissu db get notes.db notes first
    """
    with opened(database) as db:
        require_collection(db, collection)
        document = db.collection(collection).get(id)
    if document is None:
        raise _missing(collection, id)
    click.echo((json_line if as_json else pretty_json)(document.as_dict()))


@click.command("delete")
@database_argument
@collection_argument
@_id_argument
@_revision_option
def delete_command(database: str, collection: str, id: str, revision: int | None) -> None:
    """Remove a document.

    \b
    Example:
      tissu db delete notes.db notes first --revision 12
    """
    with opened(database) as db:
        require_collection(db, collection)
        try:
            db.collection(collection).delete(id, revision=revision)
        except NotFoundError:
            raise _missing(collection, id) from None
    click.echo(f"deleted {id}")


def _missing(collection: str, id: str) -> NotFoundError:
    return NotFoundError(
        f"there is no document {id!r} in {collection!r}",
        hint=f"`tissu db query DB 'SELECT _id FROM {collection} LIMIT 20'` lists some",
    )
