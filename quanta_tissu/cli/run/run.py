"""`tissu run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from quanta_tissu.cli.failures import ExitCode
from quanta_tissu.cli.numbers import FiniteRange
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

_PRICE = FiniteRange(0)


@click.command("run")
@click.argument("script", metavar="SCRIPT")
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    metavar="FOLDER",
    help="The folder that the script works on, and cannot leave; by default the current one.",
)
@click.option(
    "--sandbox",
    type=click.Choice(["none", "landlock", "bwrap", "txn"]),
    help="How commands are kept in, where the script says nothing; by default bwrap, or landlock where that does "
    "not work. `tissu doctor` shows what works here.",
)
@click.option("--network", is_flag=True, help="Let commands use the network.")
@model_option
@click.option(
    "--price",
    type=(_PRICE, _PRICE),
    default=(0.0, 0.0),
    metavar="IN OUT",
    help="What a million tokens of a prompt and of an answer cost, for the budget COST.",
)
@click.option("--database", metavar="DB", default="", help="The database; by default .tissu/database.db.")
@environment_option
@secret_option
@answer_option
@unattended_option
@anchor_option
@verbose_option
@json_option
def command(
    script: str,
    project: Path,
    sandbox: str | None,
    network: bool,
    models: Sequence[str],
    price: tuple[float, float],
    database: str,
    environment: Sequence[str],
    secrets: Sequence[str],
    answers: Sequence[str],
    unattended: str | None,
    anchors: Path | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run a script: check it, do what it says, record all of it.

    Commands run in a sandbox, files stay inside the project, and each effect is recorded in .tissu/runs before and
    after it is done, so that `tissu resume` goes on with a run that died without doing anything twice. What LOG
    says goes to standard output, everything else to standard error. The exit code is 1 if the script failed and
    75 if the run waits for a person.

    \b
    Examples:
      tissu lang plan plan.tiss                       what it would do, without doing it
      tissu run plan.tiss --model runs/demo/best
      tissu run plan.tiss --model http://localhost:8000/v1#qwen --price 0.5 1.5
      tissu run plan.tiss --answer approve --unattended wait
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
    from quanta_tissu.cli.runs.shared import refuse_other
    from quanta_tissu.tisslang.engine.program import read_program
    from quanta_tissu.tisslang.running.lifecycle import Options, new_name, start
    from quanta_tissu.tisslang.running.people import Prepared
    from quanta_tissu.tisslang.running.rules import read_rules
    from quanta_tissu.tisslang.sandbox.probe import best_level

    program = read_program(read_script(Path(script)), read_script)
    refuse_wrong(program)
    root = project.resolve()
    options = Options(
        sandbox=sandbox or best_level().value,
        network=network,
        models=named_models(models),
        database=database,
        environment=tuple(environment),
        secrets=tuple(secrets),
        prices=price,
    )
    values, redactor = known_secrets()
    refuse_missing(options.models, environment, secrets, values, root)
    refuse_other(anchors)
    rules = read_rules(root / ".tissu" / "rules.toml")
    watcher = Events() if as_json else Progress(verbose=verbose)
    name = new_name()
    if isinstance(watcher, Progress):
        click.echo(f"run {click.style(name, bold=True)}: {program.title} (sandbox: {options.sandbox})", err=True)
    person = Prepared(tuple(answers), whom_to_ask(unattended), "command line")
    try:
        ending = start(
            program,
            root,
            options,
            doer=performer_maker(root, values, watcher),
            person=person,
            watcher=watcher,
            rules=rules,
            redactor=redactor,
            anchors=anchors,
            name=name,
        )
    except KeyboardInterrupt:
        click.echo(f"interrupted; tissu resume {name} goes on", err=True)
        click.get_current_context().exit(ExitCode.INTERRUPTED)
    tell_unused(person, ending)
    tell(ending, watcher)
