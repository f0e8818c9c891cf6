"""`tissu lang fmt`."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path

import click

from quanta_tissu.cli.failures import ExitCode
from quanta_tissu.cli.writing import write_text


@click.command("fmt")
@click.argument("paths", nargs=-1, required=True, metavar="SCRIPT...")
@click.option("--check", is_flag=True, help="Write nothing; the exit code is 1 if a script is not well written.")
@click.option("--diff", "show", is_flag=True, help="Write nothing; show what would change.")
def command(paths: Sequence[str], check: bool, show: bool) -> None:
    """Write scripts in the one way in which they are written.

    Only blanks and ends of lines change: comments stay, heredocs keep every byte, and each script is read again
    to prove it before it is written. A script with errors is left as it is. Standard input (-) goes to
    standard output.

    \b
    Examples:
      tissu lang fmt plan.tiss
      tissu lang fmt --check workflows/
      tissu lang fmt --diff plan.tiss
    """
    from quanta_tissu.cli.lang.scripts import read_scripts
    from quanta_tissu.errors import ScriptError
    from quanta_tissu.tisslang.syntax.formatter import format_script
    from quanta_tissu.tisslang.syntax.parser import parse

    changed, failed, count = 0, 0, 0
    for source in read_scripts(paths):
        count += 1
        try:
            text = format_script(parse(source))
        except ScriptError as error:
            failed += 1
            click.echo(f"error: {error}", err=True)
            continue
        if source.name == "<stdin>" and not (check or show):
            click.echo(text, nl=False)
            continue
        if text == source.text:
            continue
        changed += 1
        if show:
            old, new = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
            click.echo("".join(unified_diff(old, new, source.name, source.name)), nl=False)
        elif check:
            click.echo(source.name)
        else:
            write_text(Path(source.name), text)
    verb = "would change" if check or show else "changed"
    click.echo(f"{count} script{'s' if count != 1 else ''}: {changed} {verb}, {failed} with errors", err=True)
    if failed or (changed and (check or show)):
        click.get_current_context().exit(ExitCode.FAILURE)
