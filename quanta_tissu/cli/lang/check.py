"""`tissu lang check`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from quanta_tissu.cli.failures import ExitCode


@click.command("check")
@click.argument("paths", nargs=-1, required=True, metavar="SCRIPT...")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    help="For people, for programs (an object a line), for code scanners, or for GitHub Actions.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
def command(paths: Sequence[str], form: str) -> None:
    """Say what is wrong with scripts, before anything runs.

    A folder stands for all scripts in it, - for standard input. Nothing is run. The exit code is 1 if a script has
    an error.

    \b
    Examples:
      tissu lang check plan.tiss
      tissu lang check --format github workflows/
      generate-plan | tissu lang check -
    """
    from quanta_tissu.cli.lang.scripts import read_script, read_scripts
    from quanta_tissu.tisslang.analysis.checker import check
    from quanta_tissu.tisslang.analysis.imports import imported_tasks
    from quanta_tissu.tisslang.diagnostics.diagnostic import Severity, in_order
    from quanta_tissu.tisslang.diagnostics.records import github, json_lines, sarif
    from quanta_tissu.tisslang.diagnostics.text import render
    from quanta_tissu.tisslang.syntax.parser import parse

    found = []
    count = 0
    for source in read_scripts(paths):
        count += 1
        script = parse(source)
        imported, missing = imported_tasks(script, read_script)
        found += [(one, source) for one in in_order([*script.diagnostics, *missing, *check(script, imported)])]
    errors = sum(one.severity is Severity.ERROR for one, _ in found)
    if form == "text":
        for one, source in found:
            click.echo(render(one, source, colour=sys.stdout.isatty()))
        scripts = f"{count} script{'s' if count > 1 else ''}"
        said = [f"{errors} error{'s' if errors != 1 else ''}"]
        if (warnings := len(found) - errors) > 0:
            said.append(f"{warnings} warning{'s' if warnings != 1 else ''}")
        click.echo(f"{scripts}: {', '.join(said)}", err=True)
    else:
        click.echo({"json": json_lines, "sarif": sarif, "github": github}[form](found), nl=False)
    if errors:
        click.get_current_context().exit(ExitCode.FAILURE)
