"""`tissu kb`: files as passages in a database, found by words and meaning, and answers with citations."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.cli.db.opening import database_argument, json_option
from quanta_tissu.cli.generation_options import ENGINE_OPTION, generation_options, given_settings, visible
from quanta_tissu.cli.kb_feedback import correct_command, feedback_group, rate_command
from quanta_tissu.cli.kb_opening import collection_option, embedder_option, knowledge
from quanta_tissu.cli.numbers import FiniteRange
from quanta_tissu.errors import NotFoundError

if TYPE_CHECKING:
    from quanta_tissu.knowledge import Added


@click.group("kb")
def command() -> None:
    """Ask files: passages by words and meaning, answers with citations.

    Files are text, Markdown, HTML, Python or PDF.

    DB is a file, or postgresql://user@host/database?schema=NAME; `tissu kb add` makes it.

    \b
    Examples:
      tissu kb add notes.db docs/ README.md
      tissu kb search notes.db 'how is a run resumed?'
      tissu kb ask notes.db 'how is a run resumed?' --model runs/demo/best
      tissu kb rate notes.db 'how is a run resumed?' good
      tissu kb watch notes.db docs/
    """


for _command in (rate_command, correct_command, feedback_group):
    command.add_command(_command)


@command.command("add", cls=KernelCommand)
@database_argument
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@collection_option
@embedder_option
@json_option
def add_command(
    database: str, paths: tuple[Path, ...], collection: str, embedder: str | None, as_json: bool
) -> None:
    """Read files and folders, and bring their passages up to date.

    What has not changed since the last time stays; of a folder, what is not there any more goes. Hidden files are
    left out.

    \b
    Examples:
      tissu kb add notes.db docs/ README.md
      tissu kb add notes.db docs/ --embedder 'nomic-embed-text at http://localhost:11434/v1'
    """
    from quanta_tissu.cli.console import error_console

    with knowledge(database, collection, embedder, make=True) as kb:
        for path in paths:
            with error_console().status("reading") as status:
                added = kb.add(path, on_file=lambda file: status.update(f"reading {visible(file)}"))
            if as_json:
                click.echo(json.dumps({"path": str(path), **asdict(added)}))
            else:
                _report(path, added)


@command.command("remove")
@database_argument
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@collection_option
@embedder_option
def remove_command(database: str, paths: tuple[str, ...], collection: str, embedder: str | None) -> None:
    """Forget files and folders; the files themselves stay.

    \b
    Example:
      tissu kb remove notes.db docs/
    """
    with knowledge(database, collection, embedder) as kb:
        for path in paths:
            before = kb.sources()
            removed = kb.remove(path)
            if kb.sources() == before:
                close = get_close_matches(os.path.abspath(path), before, n=1)
                hint = f"did you mean {close[0]}?" if close else f"{len(before):,} other files are known"
                raise NotFoundError(f"nothing is known of {path}", hint=hint)
            click.echo(f"{path}: {removed} passages removed")


@command.command("search", cls=KernelCommand)
@database_argument
@click.argument("question")
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="How many passages at most.")
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "words", "meaning"]),
    default="hybrid",
    show_default=True,
    help="By words, by meaning, or by both.",
)
@click.option("--feedback/--no-feedback", default=True, help="Whether ratings and corrections count.  [they do]")
@collection_option
@embedder_option
@json_option
def search_command(
    database: str,
    question: str,
    k: int,
    mode: Any,
    feedback: bool,
    collection: str,
    embedder: str | None,
    as_json: bool,
) -> None:
    """Show the passages that fit a question best.

    \b
    Examples:
      tissu kb search notes.db 'how is a run resumed?'
      tissu kb search notes.db sorted --mode words -k 3 --json
    """
    with knowledge(database, collection, embedder) as kb:
        found = kb.search(question, k, mode=mode, feedback=feedback)
    for number, passage in enumerate(found, 1):
        if as_json:
            click.echo(json.dumps(asdict(passage)))
            continue
        why = [] if passage.words is None else [f"words: place {passage.words}"]
        why += [] if passage.nearness is None else [f"nearness {passage.nearness:.2f}"]
        why += [f"feedback {passage.feedback:+.2f}"] if passage.feedback else []
        click.echo(visible(f"{number}. {passage.where}  ({', '.join(why)})"))
        if passage.heading:
            click.echo(visible(f"   {passage.heading}"))
        click.echo(visible("".join(f"   | {line}\n" for line in passage.text.splitlines())))
    if not found and not as_json:
        click.echo("nothing found")


@command.command("ask", cls=KernelCommand)
@database_argument
@click.argument("question")
@click.option(
    "--model",
    "checkpoint",
    metavar="CHECKPOINT",
    help="The model that writes the answer; without one it is made of the passages' own sentences.",
)
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="Passages to answer from, at most.")
@click.option(
    "--relevant",
    type=FiniteRange(-1, 1),
    metavar="X",
    help="Cosine from which on a passage counts as relevant.  [the embedder's]",
)
@collection_option
@embedder_option
@generation_options(without=("num_samples", "logprobs"))
@ENGINE_OPTION
@json_option
def ask_command(
    database: str,
    question: str,
    checkpoint: str | None,
    k: int,
    relevant: float | None,
    collection: str,
    embedder: str | None,
    engine: str | None,
    as_json: bool,
    **_: Any,
) -> None:
    """Answer a question from the passages, with citations.

    Says so if no passage is relevant. Sentences that no passage supports have no citation, and are counted.

    \b
    Examples:
      tissu kb ask notes.db 'how is a run resumed?'
      tissu kb ask notes.db 'how is a run resumed?' --model runs/demo/best --max-new-tokens 60
    """
    settings = given_settings(click.get_current_context())
    if checkpoint is None and (settings or engine):
        raise click.UsageError("settings of generation and --engine need --model")
    with knowledge(database, collection, embedder) as kb:
        model = None
        if checkpoint is not None:
            from quanta_tissu.tisslm.language_model import load

            model = load(checkpoint, engine)
        answer = kb.answer(question, model, k=k, relevant=relevant, **settings)
    if as_json:
        click.echo(json.dumps({"answer": answer.text, "found": answer.found, **asdict(answer)}))
        return
    click.echo(visible(str(answer)))
    if not answer.found and answer.nearest is not None:
        click.echo(
            f"The nearest passage has a cosine of {answer.nearest:.2f}; {answer.threshold:.2f} counts as relevant "
            "(--relevant).",
            err=True,
        )
    if answer.unsupported:
        click.echo(
            f"{len(answer.unsupported)} of {len(answer.sentences)} sentences have no support in the passages.",
            err=True,
        )


@command.command("watch", cls=KernelCommand)
@database_argument
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--interval",
    type=FiniteRange(0.05, 1e6),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@collection_option
@embedder_option
def watch_command(
    database: str, paths: tuple[Path, ...], interval: float, collection: str, embedder: str | None
) -> None:
    """Bring files up to date whenever they change, until Ctrl-C.

    \b
    Example:
      tissu kb watch notes.db docs/ --interval 10
    """
    from quanta_tissu.knowledge.watching import watch

    with knowledge(database, collection, embedder, make=True) as kb:
        try:
            for path, added in watch(kb, paths, interval=interval):
                _report(path, added)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)


def _report(path: Path, added: Added) -> None:
    """One line for what was done, and one for each file that could not be read."""
    parts = [f"{added.files} files read" if added.files != 1 else "1 file read"]
    parts += [f"{added.same} of them unchanged"] if added.same else []
    parts += [f"{added.gone} gone"] if added.gone else []
    parts += [f"passages: {added.inserted} new, {added.kept} kept, {added.deleted} removed"]
    click.echo(visible(f"{path}: {'; '.join(parts)}"))
    for file, why in added.skipped:
        click.echo(visible(f"skipped {file}: {why}"), err=True)
