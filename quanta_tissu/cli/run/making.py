"""What `tissu run` and `tissu resume` share: options, whatever does effects, and how a run's end is told."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from quanta_tissu.cli.failures import ExitCode

if TYPE_CHECKING:
    from quanta_tissu.cli.run.watching import Events, Progress
    from quanta_tissu.tisslang.engine.program import Program
    from quanta_tissu.tisslang.journal.journal import Journal
    from quanta_tissu.tisslang.journal.redaction import Redactor
    from quanta_tissu.tisslang.running.conductor import Performer
    from quanta_tissu.tisslang.running.lifecycle import Ending, Options
    from quanta_tissu.tisslang.running.people import Prepared

F = TypeVar("F", bound=Callable[..., Any])

unattended_option = click.option(
    "--unattended",
    type=click.Choice(["wait", "deny", "approve"]),
    help="When a person is needed: let the run wait, refuse, or approve unseen. By default the terminal is asked, "
    "and without one it is refused, but a choice waits.",
)
answer_option = click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="ANSWER",
    help="An answer given beforehand: `approve`, `reject: too long`, an option or its number. Again for the next.",
)
anchor_option = click.option(
    "--anchor",
    "anchors",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append the end of the record to this file as it grows: `tissu audit --anchor FILE` then finds what was "
    "cut off.",
)
model_option = click.option(
    "--model",
    "models",
    multiple=True,
    metavar="[NAME=]MODEL",
    help="The model that is asked: a checkpoint's folder, https://host/v1#model, mock:answers.yaml, "
    "cassette:file.jsonl[=MODEL]. With a name, what `@model NAME` means.",
)
environment_option = click.option(
    "--env", "environment", multiple=True, metavar="NAME", help="Let commands see a variable. Repeatable."
)
secret_option = click.option(
    "--secret", "secrets", multiple=True, metavar="NAME", help="Let commands see a secret. Repeatable."
)
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show what commands and models write.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print an object a line for what happens.")


def known_secrets() -> tuple[Mapping[str, str], Redactor]:
    """All secrets, and what hides them."""
    from quanta_tissu.cli.runs.shared import open_secrets
    from quanta_tissu.tisslang.journal.redaction import Redactor

    values = open_secrets().all()
    return values, Redactor(values)


def named_models(given: Sequence[str]) -> dict[str, str]:
    """Models by name; that without a name is asked by default."""
    found: dict[str, str] = {}
    for one in given:
        named = re.fullmatch(r"([A-Za-z][\w-]*)=(.+)", one)
        found[named.group(1) if named else ""] = named.group(2) if named else one
    return found


def refuse_missing(
    models: Mapping[str, str],
    environment: Sequence[str],
    wanted: Sequence[str],
    secrets: Mapping[str, str],
    root: Path,
) -> None:
    """Refuse what a run is to have and what is not there, before anything is done.

    Args:
        models: Models by name.
        environment: Names of variables that commands are to see.
        wanted: Names of secrets that they are to see.
        secrets: All secrets that there are.
        root: The project's folder.

    Raises:
        TissuError: A model is none, or there is no such variable or secret.
    """
    from quanta_tissu.errors import ConfigError
    from quanta_tissu.tisslang.llm.opening import refuse_unknown

    for model in models.values():
        refuse_unknown(model, root)
    for name in environment:
        if name not in os.environ:
            close = get_close_matches(name, os.environ, n=1)
            raise ConfigError(
                f"there is no variable {name!r} in the environment, which --env would let commands see",
                hint=f"did you mean {close[0]}?" if close else "set it, or leave --env out",
            )
    for name in wanted:
        _secret(secrets, name)


def performer_maker(
    root: Path, secrets: Mapping[str, str], watcher: Progress | Events
) -> Callable[[Journal, Options], Performer]:
    """Makes what does the effects of a run in a project.

    Args:
        root: The project's folder.
        secrets: All that there are; a run sees those that it names.
        watcher: Gets what commands and models write.
    """

    def make(journal: Journal, options: Options) -> Performer:
        from quanta_tissu.tisslang.running.live.documents import Documents
        from quanta_tissu.tisslang.running.live.models import Models
        from quanta_tissu.tisslang.running.live.performer import LivePerformer
        from quanta_tissu.tisslang.sandbox.policy import Level, Policy
        from quanta_tissu.tisslang.sandbox.probe import require

        level = Level(options.sandbox)
        require(level)
        performer = LivePerformer(
            root,
            journal.folder / "scratch",
            Policy(level=level, network=options.network, environment=options.environment),
            Models(options.models, root, options.prices),
            Documents(options.database or str(root / ".tissu" / "database.db"), f"run {journal.folder.name}"),
            secrets={name: _secret(secrets, name) for name in options.secrets},
            redactor=journal.redactor,
            keep=journal.put,
            on_output=watcher.output,
        )
        click.get_current_context().call_on_close(performer.close)
        return performer

    return make


def _secret(secrets: Mapping[str, str], name: str) -> str:
    from quanta_tissu.errors import ConfigError

    if name not in secrets:
        raise ConfigError(f"there is no secret {name}", hint=f"tissu secret set {name}")
    return secrets[name]


def refuse_wrong(program: Program) -> None:
    """Say what is wrong with a script, and end the command if it cannot be run."""
    from quanta_tissu.tisslang.diagnostics.text import render

    colour = sys.stderr.isatty()
    for one in program.diagnostics:
        click.echo(render(one, program.main.source, colour=colour), err=True)
    if not program.ok:
        click.echo("nothing was run", err=True)
        click.get_current_context().exit(ExitCode.FAILURE)


def tell(ending: Ending, watcher: Progress | Events) -> None:
    """Say how a run ended, and end the command accordingly."""
    from quanta_tissu.cli.run.watching import Events

    if isinstance(watcher, Events):
        watcher.say("run.end", **as_object(ending))
    else:
        _tell_people(ending, watcher)
    if ending.error is not None:
        raise ending.error
    code = {"done": ExitCode.OK, "failed": ExitCode.FAILURE, "paused": ExitCode.WAITING}[ending.status]
    if code:
        click.get_current_context().exit(code)


def tell_unused(person: Prepared, ending: Ending) -> None:
    """Say which answers nobody has asked for."""
    if ending.error is None:
        for one in person.left:
            click.echo(f"nothing asked for the answer {one!r}: it was not used", err=True)


def as_object(ending: Ending) -> dict[str, Any]:
    """The end of a run for programs."""
    found: dict[str, Any] = {"run": ending.run, "folder": str(ending.folder), "status": ending.status}
    if ending.status == "done":
        found["variables"] = dict(ending.variables)
    if ending.error is not None:
        found["error"] = {"message": ending.error.message, "help": ending.error.hint}
    if ending.failure is not None:
        found["failure"] = ending.failure.value()
    if ending.question is not None:
        one = ending.question
        found["question"] = {
            "what": one.what,
            "title": one.title,
            "shown": one.shown,
            "options": list(one.options),
        }
    return found


def _tell_people(ending: Ending, watcher: Progress) -> None:
    from quanta_tissu.cli.run.person import visible
    from quanta_tissu.tisslang.diagnostics.text import render
    from quanta_tissu.tisslang.running.people import NOBODY

    for diverged in ending.divergences:
        click.echo(_divergence(diverged), err=True)
    name = ending.run
    match ending.status:
        case "done":
            click.echo(f"{click.style('done', fg='green', bold=True)} in {watcher.summary()}", err=True)
            click.echo(f"tissu report {name} shows all of it", err=True)
        case "failed" if ending.failure is not None:
            colour = sys.stderr.isatty()
            click.echo(err=True)
            click.echo(render(ending.failure.diagnostic, ending.failure.site.source, colour=colour), err=True)
            click.echo(f"failed after {watcher.summary()}", err=True)
            click.echo(f"tissu report {name} shows all of it; what is done stays done when it goes on:", err=True)
            click.echo(f"  tissu resume {name} --script FILE   with a mended script", err=True)
            click.echo(
                f"  tissu resume {name} --again         the failed step anew, after mending its cause", err=True
            )
            if ending.failure.diagnostic.data.get("comment") == NOBODY:
                click.echo(
                    f"  tissu resume {name} --again --answer approve   the same, with an answer; runs that\n"
                    "      shall wait for one begin with tissu run --unattended wait",
                    err=True,
                )
        case "paused" if ending.question is not None:
            one = ending.question
            click.echo(f"waiting for a person: {visible(one.title)}", err=True)
            for line in one.shown.splitlines() if one.shown != one.title else ():
                click.echo(f"  │ {visible(line)}", err=True)
            for number, option in enumerate(one.options):
                lead = "answer it with" if number == 0 else "or"
                click.echo(f"{lead:<14} tissu resume {name} --answer {shlex.quote(visible(option))}", err=True)
        case "broken":
            click.echo(f"the run stands still; what is done stays done: tissu resume {name} goes on", err=True)


def _divergence(diverged: Any) -> str:
    """Where an edited script leaves what was recorded, in both versions."""
    earlier = diverged.earlier
    lines = ["the script wants something else from here on; what comes after is done anew:"]
    if earlier is not None:
        lines += [f"  recorded  {earlier.intent['source']}:{earlier.intent['line']}  {_shown(earlier.intent)}"]
    site = diverged.effect.site
    lines += [f"  now       {site.source.name}:{site.line}  {' '.join(site.text.split())}"]
    return "\n".join(lines)


def _shown(intent: Mapping[str, Any]) -> str:
    import json

    return f"{intent['op']} {json.dumps(intent['args'], ensure_ascii=False)}"
