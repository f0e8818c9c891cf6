"""`tissu resume`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from quanta_tissu.cli.failures import ExitCode
from quanta_tissu.cli.run.making import (
    anchor_option,
    answer_option,
    environment_option,
    json_option,
    model_option,
    secret_option,
    unattended_option,
    verbose_option,
)
from quanta_tissu.cli.runs.shared import project_folder, project_option, refuse_other


@click.command("resume")
@click.argument("run", metavar="RUN")
@click.option(
    "--script",
    metavar="SCRIPT",
    help="Another version of the script: what is recorded counts up to where it wants something else.",
)
@click.option(
    "--accept-changes",
    is_flag=True,
    help="Go on although files that the run wrote or read were changed since, or the project was moved.",
)
@click.option("--again", is_flag=True, help="Do the step that failed again, from its beginning.")
@project_option
@model_option
@environment_option
@secret_option
@answer_option
@unattended_option
@anchor_option
@verbose_option
@json_option
def command(
    run: str,
    script: str | None,
    accept_changes: bool,
    again: bool,
    project: Path | None,
    models: Sequence[str],
    environment: Sequence[str],
    secrets: Sequence[str],
    answers: Sequence[str],
    unattended: str | None,
    anchors: Path | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Go on with a run that died, waits for a person, or failed.

    What is recorded is not done again. A command of which nobody knows whether it was done is asked about, unless
    the script says `@on_resume retry` or it worked on a copy (`@sandbox txn`). Models, variables and secrets are
    those of the run; what is named here comes to them, or into the place of a model of the same name.

    \b
    Examples:
      tissu resume 20261122-093000-a1b2
      tissu resume 20261122-093000-a1b2 --answer "reject: too long"
      tissu resume 20261122-093000-a1b2 --script plan.tiss      after mending it
      tissu resume 20261122-093000-a1b2 --again                 after mending what it needs
      tissu resume 20261122-093000-a1b2 --again --model runs/demo/best
    """
    from quanta_tissu.cli.lang.scripts import read_script
    from quanta_tissu.cli.run.making import (
        known_secrets,
        named_models,
        performer_maker,
        refuse_missing,
        refuse_wrong,
        tell,
        tell_unused,
    )
    from quanta_tissu.cli.run.person import whom_to_ask
    from quanta_tissu.cli.run.watching import Events, Progress
    from quanta_tissu.tisslang.engine.program import read_program
    from quanta_tissu.tisslang.journal.runs import find_run
    from quanta_tissu.tisslang.running.lifecycle import resume
    from quanta_tissu.tisslang.running.people import Prepared
    from quanta_tissu.tisslang.running.rules import read_rules

    refuse_other(anchors)
    root = project_folder(project)
    folder = find_run(run, root)
    edited = None
    if script is not None:
        edited = read_program(read_script(Path(script)), read_script)
        refuse_wrong(edited)
    values, redactor = known_secrets()
    named = named_models(models)
    refuse_missing(named, environment, secrets, values, root)
    watcher = Events() if as_json else Progress(verbose=verbose)
    person = Prepared(tuple(answers), whom_to_ask(unattended), "command line")
    try:
        ending = resume(
            folder,
            doer=performer_maker(root, values, watcher),
            person=person,
            watcher=watcher,
            rules=read_rules(root / ".tissu" / "rules.toml"),
            redactor=redactor,
            anchors=anchors,
            edited=edited,
            accept_changes=accept_changes,
            again=again,
            root=root,
            models=named,
            environment=environment,
            secrets=secrets,
        )
    except KeyboardInterrupt:
        click.echo(f"interrupted; tissu resume {folder.name} goes on", err=True)
        click.get_current_context().exit(ExitCode.INTERRUPTED)
    tell_unused(person, ending)
    tell(ending, watcher)
