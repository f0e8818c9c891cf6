"""`tissu kb rate`, `correct` and `feedback`: what people say of passages and answers, and taking it back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.cli.db.opening import database_argument, json_option, read_argument
from quanta_tissu.cli.generation_options import visible
from quanta_tissu.cli.kb_opening import collection_option, embedder_option, knowledge
from quanta_tissu.cli.user import user
from quanta_tissu.errors import NotFoundError

if TYPE_CHECKING:
    from quanta_tissu.knowledge import FoundPassage, KnowledgeBase
    from quanta_tissu.knowledge.feedback import Record

_LOOKED_AT = 50
"""Passages among which one is named by its place or its id."""

_why_option = click.option("--why", default="", metavar="TEXT", help="A remark, kept with it.")
_passage_help = "a place in what `tissu kb search` shows for this question, from 1, or an id (from its --json)"


@click.command("rate", cls=KernelCommand)
@database_argument
@click.argument("question")
@click.argument("rating", type=click.Choice(["good", "bad"]))
@click.option(
    "-p",
    "--passage",
    "passages",
    multiple=True,
    metavar="PASSAGE",
    help=f"What is rated: {_passage_help}. May be given several times.  [what the answer of `tissu kb ask` "
    "without a model cites]",
)
@_why_option
@collection_option
@embedder_option
@json_option
def rate_command(
    database: str,
    question: str,
    rating: str,
    passages: tuple[str, ...],
    why: str,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Say that passages, or an answer, were good or bad for a question.

    Later searches for similar questions have them earlier or later. `tissu kb feedback undo` takes it back.

    \b
    Examples:
      tissu kb rate notes.db 'how is a run resumed?' good
      tissu kb rate notes.db 'how is a run resumed?' bad -p 2 --why 'about something else'
    """
    with knowledge(database, collection, embedder) as kb:
        what: Any = [_passage(kb, question, name) for name in passages] or kb.answer(question)
        record = kb.feedback.rate(question, what, rating == "good", who=user(), why=why)
    _report(record, as_json)


@click.command("correct", cls=KernelCommand)
@database_argument
@click.argument("question")
@click.option("--pin", metavar="PASSAGE", help=f"Put this first: {_passage_help}.")
@click.option("--demote", metavar="PASSAGE", help="Put this last: named as for --pin.")
@click.option("--answer", metavar="TEXT", help="The right answer; - reads standard input.")
@_why_option
@collection_option
@embedder_option
@json_option
def correct_command(
    database: str,
    question: str,
    pin: str | None,
    demote: str | None,
    answer: str | None,
    why: str,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Correct what is found for a question, and for questions like it.

    A passage is put first or last, or the right answer is given, which becomes a passage itself, with the source
    `correction`. `tissu kb feedback undo` takes it back.

    \b
    Examples:
      tissu kb correct notes.db 'how is a run resumed?' --pin 4
      tissu kb correct notes.db 'who is on call?' --answer 'Grace, until the end of May.'
    """
    if sum(given is not None for given in (pin, demote, answer)) != 1:
        raise click.UsageError("give one of --pin, --demote and --answer")
    text = None if answer is None else read_argument(answer, "the answer")
    with knowledge(database, collection, embedder) as kb:
        if text is not None:
            record = kb.feedback.correct(question, text, who=user(), why=why)
        elif pin is not None:
            record = kb.feedback.pin(question, _passage(kb, question, pin), who=user(), why=why)
        else:
            record = kb.feedback.demote(question, _passage(kb, question, str(demote)), who=user(), why=why)
    _report(record, as_json)


@click.group("feedback")
def feedback_group() -> None:
    """List ratings and corrections, and take them back.

    \b
    Examples:
      tissu kb feedback list notes.db
      tissu kb feedback undo notes.db 019a... --why 'it was right after all'
    """


@feedback_group.command("list")
@database_argument
@click.option("--all", "everything", is_flag=True, help="Show what is undone, too.")
@collection_option
@embedder_option
@json_option
def list_command(database: str, everything: bool, collection: str, embedder: str | None, as_json: bool) -> None:
    """Show who said what of which passage, when and why.

    \b
    Example:
      tissu kb feedback list notes.db --all --json
    """
    with knowledge(database, collection, embedder) as kb:
        records = kb.feedback.records(undone=everything)
    if as_json:
        for record in records:
            click.echo(_json(record))
        return
    for record in records:
        why = f": {record.why}" if record.why else ""
        click.echo(visible(f"{record.id}  {record.time:%Y-%m-%d %H:%M}  {record.who}  {_said(record)}{why}"))
        click.echo(visible(f"  question: {record.question}"))
        for about in record.about:
            click.echo(visible(f"  passage: {about.where}"))
    if not records:
        click.echo("no feedback")


@feedback_group.command("undo")
@database_argument
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@_why_option
@collection_option
@embedder_option
@json_option
def undo_command(
    database: str, ids: tuple[str, ...], why: str, collection: str, embedder: str | None, as_json: bool
) -> None:
    """Let feedback count no more; searches find what they would have found without it.

    The record stays, with who undid it.

    \b
    Example:
      tissu kb feedback undo notes.db 019a6d9e-3f00-7d41-8d43-0a5b6c7d8e9f
    """
    with knowledge(database, collection, embedder) as kb:
        for id in ids:
            record = kb.feedback.undo(id, who=user(), why=why)
            click.echo(_json(record) if as_json else f"{id}: undone ({_said(record, undone=False)})")


def _passage(kb: KnowledgeBase, question: str, name: str) -> FoundPassage:
    """A passage by its place in what is found, or by its id."""
    if not name.isdecimal():
        try:
            return kb.passage(name)
        except NotFoundError:
            raise NotFoundError(
                f"there is no passage {name!r}", hint="`tissu kb search` shows their places, with --json their ids"
            ) from None
    found = kb.search(question, _LOOKED_AT)
    if not 1 <= int(name) <= len(found):
        raise click.UsageError(f"there is no passage {name}: {len(found)} are found for this question")
    return found[int(name) - 1]


def _said(record: Record, *, undone: bool = True) -> str:
    said = {"rating": "good" if record.value > 0 else "bad", "pin": "pinned", "demotion": "demoted"}
    end = f" (undone by {record.undone.who})" if undone and record.undone is not None else ""
    return said.get(record.kind, "corrected") + end


def _report(record: Record, as_json: bool) -> None:
    if as_json:
        click.echo(_json(record))
        return
    for about in record.about:
        click.echo(visible(f"{_said(record)}: {about.where}"))
    click.echo(f"feedback {record.id}")


def _json(record: Record) -> str:
    return json.dumps(asdict(record), default=str, ensure_ascii=False)
