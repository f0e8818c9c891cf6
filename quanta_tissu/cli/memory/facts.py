"""`tissu memory fact`: what is known, from where and how surely."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.cli.db.opening import database_argument, json_option
from quanta_tissu.cli.generation_options import visible
from quanta_tissu.cli.memory.opening import (
    collection_option,
    embedder_option,
    json_record,
    moment,
    reasons,
    remembered,
)
from quanta_tissu.cli.user import user

if TYPE_CHECKING:
    from quanta_tissu.knowledge.memory import Fact, FactMemory, Source

_collection_option = collection_option("facts")
_source_option = click.option(
    "--source",
    metavar="'KIND NAME'",
    help="Where it comes from: 'document guide.md', 'turn 019a...', 'run runs/demo'.  [person, and who you are]",
)
_confidence_option = click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="How sure the source is.",
)
_why_option = click.option("--why", default="", metavar="TEXT", help="A remark, kept with it.")
_half_life_option = click.option(
    "--half-life",
    type=click.FloatRange(0, min_open=True),
    default=90.0,
    show_default=True,
    metavar="DAYS",
    help="After how many days a fact that nobody has confirmed counts half.",
)


@click.group("fact")
def group() -> None:
    """Keep what is known: with sources, confidence, and fading unless it is confirmed.

    \b
    Examples:
      tissu memory fact add agent.db meetings 'The team meets on Tuesdays.' --source 'turn 019a...'
      tissu memory fact search agent.db 'when do we meet?'
      tissu memory fact supersede agent.db 019a... 'The team meets on Thursdays.'
    """


@contextmanager
def _memory(
    database: str, collection: str, embedder: str | None, *, make: bool = False, half_life: float = 90.0
) -> Iterator[FactMemory]:
    from quanta_tissu.knowledge.memory import FactMemory

    with remembered(database, collection, embedder, make=make) as (db, chosen):
        yield FactMemory(db, chosen, collection, half_life=dt.timedelta(days=half_life))


def _source(text: str | None) -> Source:
    from quanta_tissu.knowledge.memory import Source

    if text is None:
        return Source("person", user())
    kind, _, name = text.partition(" ")
    if not kind or not name.strip():
        raise click.BadParameter(f"{text!r} is not of the form 'KIND NAME'", param_hint="--source")
    return Source(kind, name.strip())


@group.command("add", cls=KernelCommand)
@database_argument
@click.argument("subject")
@click.argument("text")
@_source_option
@_confidence_option
@_collection_option
@embedder_option
@json_option
def add_command(
    database: str,
    subject: str,
    text: str,
    source: str | None,
    confidence: float,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Remember a fact about a subject; one that is known already is confirmed.

    Facts that may say the same are shown.

    \b
    Example:
      tissu memory fact add agent.db meetings 'The team meets on Tuesdays.' --source 'turn 019a...'
    """
    with _memory(database, collection, embedder, make=True) as memory:
        made = memory.add(subject, text, _source(source), confidence=confidence)
    if as_json:
        click.echo(json_record(made))
        return
    click.echo(f"fact {made.fact.id}: {'new' if made.is_new else 'known already, and confirmed'}")
    for similar in made.similar:
        click.echo(visible(f"similar: {similar.id}  {similar.subject}: {similar.text}"))


@group.command("list")
@database_argument
@click.option("--subject", metavar="TEXT", help="Those about this only.")
@click.option("--all", "everything", is_flag=True, help="Show what is superseded or retracted, too.")
@_half_life_option
@_collection_option
@embedder_option
@json_option
def list_command(
    database: str,
    subject: str | None,
    everything: bool,
    half_life: float,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """List facts, with how strong they are now.

    \b
    Example:
      tissu memory fact list agent.db --subject meetings --all
    """
    with _memory(database, collection, embedder, half_life=half_life) as memory:
        facts, now = memory.facts(subject, all_states=everything), dt.datetime.now(dt.UTC)
        strengths = [fact.strength(now, memory.half_life) for fact in facts]
    if as_json:
        for fact, strength in zip(facts, strengths, strict=True):
            click.echo(json.dumps(json.loads(json_record(fact)) | {"strength": strength}, ensure_ascii=False))
        return
    for fact, strength in zip(facts, strengths, strict=True):
        _show(fact)
        click.echo(visible(f"  strength {strength:.2f}, from {fact.source}"))
    if not facts:
        click.echo("no facts")


@group.command("show")
@database_argument
@click.argument("id")
@_half_life_option
@_collection_option
@embedder_option
@json_option
def show_command(
    database: str, id: str, half_life: float, collection: str, embedder: str | None, as_json: bool
) -> None:
    """Show a fact, and everything that has happened to it.

    \b
    Example:
      tissu memory fact show agent.db 019a6d9e-3f00-7d41-8d43-0a5b6c7d8e9f
    """
    with _memory(database, collection, embedder, half_life=half_life) as memory:
        fact = memory[id]
        strength = fact.strength(dt.datetime.now(dt.UTC), memory.half_life)
    if as_json:
        click.echo(json.dumps(json.loads(json_record(fact)) | {"strength": strength}, ensure_ascii=False))
        return
    _show(fact)
    click.echo(f"  strength {strength:.2f}, confidence {fact.confidence:.2f}, used {fact.uses} times")
    for event in fact.events:
        sure = f" ({event.confidence:.2f})" if event.confidence else ""
        why = f": {event.why}" if event.why else ""
        click.echo(visible(f"  {moment(event.time)}  {event.action} by {event.source}{sure}{why}"))


@group.command("search", cls=KernelCommand)
@database_argument
@click.argument("question")
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="How many facts at most.")
@click.option(
    "--minimum",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Strength below which a fact counts as forgotten.",
)
@_half_life_option
@_collection_option
@embedder_option
@json_option
def search_command(
    database: str,
    question: str,
    k: int,
    minimum: float,
    half_life: float,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Recall facts: those that fit a question and are strong.

    \b
    Example:
      tissu memory fact search agent.db 'when do we meet?'
    """
    with _memory(database, collection, embedder, half_life=half_life) as memory:
        found = memory.recall(question, k, minimum=minimum)
    for number, one in enumerate(found, 1):
        if as_json:
            click.echo(json_record(one))
            continue
        why = [f"relevance {one.relevance:.2f}", f"strength {one.strength:.2f}", *reasons(one.words, one.nearness)]
        click.echo(visible(f"{number}. {one.fact.subject}: {one.fact.text}  ({', '.join(why)})"))
        click.echo(visible(f"   {one.fact.id}, from {one.fact.source}"))
    if not found and not as_json:
        click.echo("nothing found")


@group.command("confirm")
@database_argument
@click.argument("id")
@_source_option
@_confidence_option
@_why_option
@_collection_option
@embedder_option
@json_option
def confirm_command(
    database: str,
    id: str,
    source: str | None,
    confidence: float,
    why: str,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Say that a fact is true: it is young again, and fades more slowly.

    \b
    Example:
      tissu memory fact confirm agent.db 019a... --source 'document calendar.md'
    """
    with _memory(database, collection, embedder) as memory:
        _report(memory.confirm(id, _source(source), confidence=confidence, why=why), as_json)


@group.command("contradict")
@database_argument
@click.argument("id")
@_source_option
@_confidence_option
@_why_option
@_collection_option
@embedder_option
@json_option
def contradict_command(
    database: str,
    id: str,
    source: str | None,
    confidence: float,
    why: str,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Say that a fact is not true, without saying what is.

    \b
    Example:
      tissu memory fact contradict agent.db 019a... --source 'turn 019b...' --confidence 0.5
    """
    with _memory(database, collection, embedder) as memory:
        _report(memory.contradict(id, _source(source), confidence=confidence, why=why), as_json)


@group.command("use")
@database_argument
@click.argument("id")
@_collection_option
@embedder_option
@json_option
def use_command(database: str, id: str, collection: str, embedder: str | None, as_json: bool) -> None:
    """Note that a fact was used: it fades a little more slowly.

    \b
    Example:
      tissu memory fact use agent.db 019a...
    """
    with _memory(database, collection, embedder) as memory:
        _report(memory.use(id), as_json)


@group.command("supersede", cls=KernelCommand)
@database_argument
@click.argument("id")
@click.argument("text")
@_source_option
@_confidence_option
@_why_option
@_collection_option
@embedder_option
@json_option
def supersede_command(
    database: str,
    id: str,
    text: str,
    source: str | None,
    confidence: float,
    why: str,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Say what is true now instead of a fact; the old one stays, and names the new one.

    \b
    Example:
      tissu memory fact supersede agent.db 019a... 'The team meets on Thursdays.'
    """
    with _memory(database, collection, embedder) as memory:
        _report(memory.supersede(id, text, _source(source), confidence=confidence, why=why), as_json)


@group.command("retract")
@database_argument
@click.argument("id")
@_source_option
@_why_option
@_collection_option
@embedder_option
@json_option
def retract_command(
    database: str, id: str, source: str | None, why: str, collection: str, embedder: str | None, as_json: bool
) -> None:
    """Take a fact back; it stays, and is not recalled any more.

    \b
    Example:
      tissu memory fact retract agent.db 019a... --why 'it was a joke'
    """
    with _memory(database, collection, embedder) as memory:
        _report(memory.retract(id, _source(source), why=why), as_json)


def _report(fact: Fact, as_json: bool) -> None:
    if as_json:
        click.echo(json_record(fact))
    else:
        _show(fact)


def _show(fact: Fact) -> None:
    state = f"superseded by {fact.superseded_by}" if fact.superseded_by else fact.state
    click.echo(visible(f"{fact.subject}: {fact.text}"))
    click.echo(f"  {fact.id}, {state}")
