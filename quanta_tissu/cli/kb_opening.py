"""What the commands about knowledge share: how its collection and its embedder are named and opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quanta_tissu.cli.db.opening import opened, require_collection
from quanta_tissu.errors import NotFoundError

if TYPE_CHECKING:
    from quanta_tissu.knowledge import Embedder, KnowledgeBase

collection_option = click.option(
    "--collection", default="passages", show_default=True, metavar="NAME", help="The collection of the passages."
)
embedder_option = click.option(
    "--embedder",
    metavar="NAME",
    help="What makes vectors: all-MiniLM-L6-v2, ngrams-1024 (by spelling), 'MODEL at URL' (an endpoint that "
    "speaks OpenAI's interface; its key in TISSU_EMBEDDING_KEY), or a folder of a sentence encoder.  [what the "
    "collection was made with; for a new one all-MiniLM-L6-v2 if it is installed]",
)


@contextmanager
def knowledge(
    database: str, collection: str, embedder: str | None, *, make: bool = False
) -> Iterator[KnowledgeBase]:
    """A knowledge base, and a word on standard error if its vectors are not of meaning."""
    from quanta_tissu.knowledge import KnowledgeBase
    from quanta_tissu.knowledge.choosing import embedder_for

    if not make and "://" not in database and not Path(database).exists():
        raise NotFoundError(f"there is no database {database}", hint=f"`tissu kb add {database} FOLDER` makes it")
    with opened(database, make=make) as db:
        if not make:
            require_collection(db, collection)
        chosen = chosen_embedder(embedder, lambda: embedder_for(db, collection))
        yield KnowledgeBase(db, chosen, collection)


def chosen_embedder(name: str | None, otherwise: Callable[[], Embedder]) -> Embedder:
    """The embedder of a name, or another one, and a word on standard error if its vectors are not of meaning."""
    import warnings

    from quanta_tissu.knowledge.choosing import embedder_named

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said below, and for every embedder
        chosen = otherwise() if name is None else embedder_named(name)
    if chosen.note:
        click.echo(f"note: {chosen.note}", err=True)
    return chosen
