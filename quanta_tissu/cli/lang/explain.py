"""`tissu lang explain`."""

from __future__ import annotations

from difflib import get_close_matches

import click


@click.command("explain")
@click.argument("what", required=False, metavar="[CODE|COMMAND]")
def command(what: str | None) -> None:
    """Explain a mistake by its code (E010), or a command (RUN); without either, list all.

    \b
    Examples:
      tissu lang explain
      tissu lang explain E010
      tissu lang explain retry
    """
    from quanta_tissu.errors import ScriptError
    from quanta_tissu.tisslang.diagnostics.catalogue import BY_CODE, MISTAKES
    from quanta_tissu.tisslang.syntax.commands import BY_KEYWORD, COMMANDS
    from quanta_tissu.tisslang.syntax.notation import notation

    if what is None:
        width = max(len(one.keyword) for one in COMMANDS)
        click.echo("Commands")
        for one in COMMANDS:
            click.echo(f"  {one.keyword:<{width}}  {one.summary}")
        click.echo("\nMistakes")
        for mistake in MISTAKES:
            click.echo(f"  {mistake.code:<{width}}  {mistake.title}")
        return
    name = what.upper()
    if name in BY_CODE:
        mistake = BY_CODE[name]
        click.echo(f"{mistake.code}: {mistake.title}\n\n{click.wrap_text(mistake.why, 100)}\n")
        if mistake.when:
            click.echo(f"In a run: {click.wrap_text(mistake.when, 90)}\n")
        click.echo(f"Wrong:\n\n{_indented(mistake.wrong)}\n\nRight:\n\n{_indented(mistake.right)}")
        return
    if name in BY_KEYWORD:
        found = BY_KEYWORD[name]
        places = " or ".join(place.value for place in sorted(found.where, key=lambda one: one.name))
        click.echo(f"{notation(found)}\n\n{click.wrap_text(found.summary, 100)}\n")
        click.echo(
            f"May stand in: {places}\nEffect: {found.effect.value}\n\nExample:\n\n{_indented(found.example)}"
        )
        return
    close = get_close_matches(name, [*BY_CODE, *BY_KEYWORD], n=1)
    raise ScriptError(
        f"{what!r} is neither a code nor a command",
        hint=f"did you mean {close[0]}?" if close else "`tissu lang explain` lists all",
    )


def _indented(text: str) -> str:
    shown = [line if len(line) <= 100 else f"{line[:97]}..." for line in text.splitlines()]
    return "\n".join(f"    {line}" for line in shown)
