"""What the commands about memory share: how a memory is opened, and how its dates and records are shown."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from quanta_tissu.cli.db.opening import opened
from quanta_tissu.errors import NotFoundError

if TYPE_CHECKING:
    from quanta_tissu.knowledge import Embedder
    from quanta_tissu.tissdb import Database

F = TypeVar("F", bound=Callable[..., Any])

embedder_option = click.option(
    "--embedder",
    metavar="NAME",
    help="What makes vectors: all-MiniLM-L6-v2, ngrams-1024 (by spelling), 'MODEL at URL', or a folder of a "
    "sentence encoder.  [what the memory was made with; for a new one all-MiniLM-L6-v2 if it is installed]",
)


def collection_option(default: str) -> Callable[[F], F]:
    """The option that names a collection."""
    return click.option(
        "--collection", default=default, show_default=True, metavar="NAME", help="The collection it is kept in."
    )


@contextmanager
def remembered(
    database: str, collection: str, embedder: str | None, *, make: bool = False
) -> Iterator[tuple[Database, Embedder]]:
    """A database and the embedder of a memory in it.

    Args:
        database: A file or an address.
        collection: The collection with the vectors.
        embedder: The embedder's name, if one was given.
        make: Make what is not there; otherwise it is an error, which an empty answer would hide.

    Raises:
        NotFoundError: There is no such memory.
    """
    from quanta_tissu.cli.kb_opening import chosen_embedder
    from quanta_tissu.knowledge.choosing import embedder_of

    with opened(database, make=make) as db:
        if not make and collection not in db.collections():
            raise NotFoundError(
                f"{database} has no memory {collection!r}", hint="the command `add` of this kind makes it"
            )
        yield db, chosen_embedder(embedder, lambda: embedder_of(db, collection))


def json_record(record: Any) -> str:
    """A record as one line of JSON; moments as in ISO 8601."""
    return json.dumps(asdict(record), default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)


def moment(time: dt.datetime) -> str:
    """A moment for people, in UTC."""
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M}"


def reasons(words: int | None, nearness: float | None) -> list[str]:
    """Why something was found."""
    why = [] if words is None else [f"words: place {words}"]
    return why + ([] if nearness is None else [f"nearness {nearness:.2f}"])
