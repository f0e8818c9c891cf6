"""`tissu lang plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from quanta_tissu.cli.failures import ExitCode

if TYPE_CHECKING:
    from quanta_tissu.tisslang.planning.capabilities import Capabilities, Change


@click.command("plan")
@click.argument("script", metavar="SCRIPT")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
@click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what the script can do at most to a file, to be reviewed and kept with it.",
)
@click.option(
    "--check",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Fail if the script can do more than the file says.",
)
@click.option("--network", is_flag=True, help="As of a run with --network.")
def command(script: str, as_json: bool, lock: Path | None, check: Path | None, network: bool) -> None:
    """Say what a run of a script would do, without doing any of it.

    Lists the files, commands, models, people and documents of every step, on what each depends, and what a run
    can do at most. The plan comes from the same interpreter as runs, which goes all ways. With --check, the exit
    code is 1 if the script can do more than the lock allows: other files or commands, the network, less of a
    sandbox, more calls or tokens, fewer people asked. A script that can do less passes.

    \b
    Examples:
      tissu lang plan plan.tiss
      tissu lang plan plan.tiss --lock plan.lock.toml
      tissu lang plan plan.tiss --check plan.lock.toml
    """
    import json
    import re

    from quanta_tissu.cli.lang.scripts import read_script
    from quanta_tissu.cli.run.making import refuse_wrong
    from quanta_tissu.cli.writing import write_text
    from quanta_tissu.errors import ConfigError
    from quanta_tissu.tisslang.diagnostics.text import render
    from quanta_tissu.tisslang.engine.planning import plan_of
    from quanta_tissu.tisslang.engine.program import read_program
    from quanta_tissu.tisslang.planning.capabilities import as_toml, capabilities_of, read_toml
    from quanta_tissu.tisslang.planning.plan_report import as_object, as_table

    if lock is not None and check is not None:
        raise ConfigError("--lock and --check are given both", hint="--check first, then --lock to take it over")
    if as_json and (lock is not None or check is not None):
        raise ConfigError("--json prints the plan, and --lock and --check do not", hint="leave one of them out")
    program = read_program(read_script(Path(script)), read_script)
    refuse_wrong(program)
    settings = {"network": "allow"} if network else {}
    plan = plan_of(program.interpreter(settings, exhaustive=True).run())
    found = capabilities_of(plan)
    if lock is not None:
        write_text(
            lock,
            as_toml(found, script),
            ours=lambda there: re.search(rb"^version = \d+$", there, re.MULTILINE) is not None,
        )
        click.echo(f"{lock} says what {script} can do at most; nothing was done", err=True)
    elif check is not None:
        _check(read_toml(_text(check), str(check)), found, check)
    elif as_json:
        click.echo(json.dumps(as_object(plan, script), ensure_ascii=False, indent=2))
    else:
        click.echo("\n".join(as_table(plan, program.title)))
        if plan.failure is not None:
            click.echo("\nEvery run fails here:\n", err=True)
            click.echo(render(plan.failure.diagnostic, plan.failure.site.source), err=True)


def _text(path: Path) -> str:
    from quanta_tissu.errors import ConfigError

    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(
            f"{path} is no text in UTF-8", hint="tissu lang plan --lock writes such a file"
        ) from None


def _check(locked: Capabilities, now: Capabilities, path: Path) -> None:
    """Compare with a lock, and end the command if the script can do more."""
    from quanta_tissu.tisslang.planning.capabilities import narrowed, widened

    wider, narrower = widened(locked, now), narrowed(locked, now)
    for one in wider:
        _show(one, "red")
    if wider:
        click.echo(f"the script can do more than {path} allows; nothing was done", err=True)
        click.echo("if it shall, `tissu lang plan --lock` takes it over", err=True)
        click.get_current_context().exit(ExitCode.FAILURE)
    click.echo(f"the script can do no more than {path} allows; nothing was done", err=True)
    if narrower:
        click.echo("the lock could be tightened; this is not needed any more:", err=True)
        for one in narrower:
            _show(one, "yellow")


def _show(one: Change, colour: str) -> None:
    if one.before:
        click.echo(click.style(f"- {one.name} = {one.before}", fg="green"))
    if one.now:
        click.echo(click.style(f"+ {one.name} = {one.now}", fg=colour))
    for site in one.sites:
        said = " ".join(site.text.split())
        click.echo(f"    {site.source.name}:{site.line}  {said[:90]}")
