"""`tissu memory conversation`: what was said, and what of it fits a context."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from quanta_tissu.knowledge.memory import ConversationMemory

_collection_option = collection_option("conversations")


@click.group("conversation")
def group() -> None:
    """Keep what was said, and show what of it fits a model's context.

    \b
    Examples:
      tissu memory conversation add agent.db planning user 'We meet on Tuesdays.'
      tissu memory conversation window agent.db planning --budget 2000
      tissu memory conversation search agent.db 'when do we meet?'
    """


@contextmanager
def _memory(
    database: str, collection: str, embedder: str | None, *, make: bool = False, **settings: Any
) -> Iterator[ConversationMemory]:
    from quanta_tissu.knowledge.memory import ConversationMemory

    with remembered(database, f"{collection}_turns", embedder, make=make) as (db, chosen):
        yield ConversationMemory(db, chosen, collection, **settings)


@group.command("add", cls=KernelCommand)
@database_argument
@click.argument("conversation")
@click.argument("role")
@click.argument("text", required=False)
@click.option("--metadata", metavar="JSON", help="An object that is kept with the turn.")
@_collection_option
@embedder_option
@json_option
def add_command(
    database: str,
    conversation: str,
    role: str,
    text: str | None,
    metadata: str | None,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Add a turn at the end of a conversation, which the first one begins; TEXT - reads standard input.

    \b
    Example:
      tissu memory conversation add agent.db planning user 'We meet on Tuesdays.'
    """
    text = read_argument(text, "the text")
    try:
        kept = json.loads(metadata) if metadata is not None else {}
    except ValueError as error:
        raise click.BadParameter(f"it is not JSON: {error}", param_hint="--metadata") from None
    if not isinstance(kept, dict):
        raise click.BadParameter("it is not an object of JSON", param_hint="--metadata")
    with _memory(database, collection, embedder, make=True) as memory:
        turn = memory.append(conversation, role, text, metadata=kept)
    click.echo(json_record(turn) if as_json else f"{conversation}: turn {turn.number}, id {turn.id}")


@group.command("list")
@database_argument
@_collection_option
@embedder_option
@json_option
def list_command(database: str, collection: str, embedder: str | None, as_json: bool) -> None:
    """List the conversations.

    \b
    Example:
      tissu memory conversation list agent.db
    """
    with _memory(database, collection, embedder) as memory:
        known = memory.conversations()
    if as_json:
        for one in known:
            click.echo(json_record(one))
        return
    if not known:
        click.echo("no conversations")
        return
    print_table(("name", "turns", "begun"), ((visible(one.name), one.turns, moment(one.started)) for one in known))


@group.command("show")
@database_argument
@click.argument("conversation")
@click.option(
    "--first", type=click.IntRange(1), default=1, show_default=True, help="The first turn that is shown."
)
@click.option("--last", type=click.IntRange(1), help="The last one.  [the newest]")
@click.option("--summaries", is_flag=True, help="Show the summaries that are kept instead of the turns.")
@_collection_option
@embedder_option
@json_option
def show_command(
    database: str,
    conversation: str,
    first: int,
    last: int | None,
    summaries: bool,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Show the turns of a conversation as they were said.

    \b
    Example:
      tissu memory conversation show agent.db planning --first 10
    """
    with _memory(database, collection, embedder) as memory:
        parts = memory.summaries(conversation) if summaries else memory.turns(conversation, first, last)
        for part in parts:
            click.echo(json_record(part) if as_json else visible(_in_lines(str(part))))


@group.command("window", cls=KernelCommand)
@database_argument
@click.argument("conversation")
@click.option(
    "--budget",
    type=click.IntRange(1),
    required=True,
    metavar="N",
    help="Tokens at most: words and signs, or the model's.",
)
@click.option(
    "--model",
    "checkpoint",
    metavar="CHECKPOINT",
    help="Count tokens as this model does, and let it write summaries that are not there yet; without one they "
    "are made of the turns' own sentences.",
)
@click.option(
    "--endpoint", metavar="'MODEL at URL'", help="Let this server write them (its key in TISSU_CHAT_KEY)."
)
@_collection_option
@embedder_option
@json_option
def window_command(
    database: str,
    conversation: str,
    budget: int,
    checkpoint: str | None,
    endpoint: str | None,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Show what of a conversation fits a context: summaries of what came first, then the newest turns.

    \b
    Examples:
      tissu memory conversation window agent.db planning --budget 2000
      tissu memory conversation window agent.db planning --budget 500 --endpoint 'qwen3 at http://localhost:11434/v1'
    """
    settings = _settings(checkpoint, endpoint)
    with _memory(database, collection, embedder, **settings) as memory:
        window = memory.window(conversation, budget)
    if as_json:
        click.echo(json_record(window))
        return
    click.echo("\n".join(visible(_in_lines(str(part))) for part in (*window.summaries, *window.turns)))
    if window.left_out is not None:
        first, last = window.left_out
        click.echo(f"turns {first} to {last} are left out: a larger budget has room for a summary", err=True)


def _settings(checkpoint: str | None, endpoint: str | None) -> dict[str, Any]:
    import os
    import re

    from quanta_tissu.knowledge.memory import EndpointSummariser, ModelSummariser, token_measure

    settings: dict[str, Any] = {}
    if checkpoint is not None:
        from quanta_tissu.tisslm.language_model import load

        model = load(checkpoint)
        settings = {"summariser": ModelSummariser(model), "measure": token_measure(model)}
    if endpoint is not None:
        match = re.fullmatch(r"(.+) at (https?://.+)", endpoint)
        if match is None:
            raise click.BadParameter(f"{endpoint!r} is not of the form 'MODEL at URL'", param_hint="--endpoint")
        settings["summariser"] = EndpointSummariser(match[2], match[1], key=os.environ.get("TISSU_CHAT_KEY"))
    return settings


@group.command("search", cls=KernelCommand)
@database_argument
@click.argument("question")
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="How many turns at most.")
@click.option("--conversation", metavar="NAME", help="Look in this one only.")
@_collection_option
@embedder_option
@json_option
def search_command(
    database: str,
    question: str,
    k: int,
    conversation: str | None,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Find what was said, however long ago.

    \b
    Example:
      tissu memory conversation search agent.db 'when do we meet?' -k 3
    """
    with _memory(database, collection, embedder) as memory:
        found = memory.search(question, k, conversation=conversation)
    for number, one in enumerate(found, 1):
        if as_json:
            click.echo(json_record(one))
            continue
        why = ", ".join(reasons(one.words, one.nearness))
        place = f"{one.turn.conversation}, turn {one.turn.number}, {moment(one.turn.time)}"
        click.echo(visible(f"{number}. {place}  ({why})"))
        click.echo(visible(_in_lines(str(one.turn))))
    if not found and not as_json:
        click.echo("nothing found")


@group.command("delete")
@database_argument
@click.argument("conversation")
@_collection_option
@embedder_option
def delete_command(database: str, conversation: str, collection: str, embedder: str | None) -> None:
    """Forget a conversation, with all its turns and summaries.

    \b
    Example:
      tissu memory conversation delete agent.db planning
    """
    with _memory(database, collection, embedder) as memory:
        click.echo(f"{conversation}: {memory.delete(conversation)} turns deleted")


def _in_lines(text: str) -> str:
    """A text whose later lines stand under its first."""
    return text.replace("\n", "\n  ")
