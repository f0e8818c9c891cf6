"""`tissu lang grammar`."""

from __future__ import annotations

from collections.abc import Sequence

import click


@click.command("grammar")
@click.option(
    "--format",
    "form",
    type=click.Choice(["ebnf", "gbnf", "textmate"]),
    default="ebnf",
    show_default=True,
    help="For people, for models whose words are constrained (llama.cpp), or for editors.",
)
@click.option("--tag", "tags", multiple=True, help="With gbnf: a tag that heredocs may have; several times.")
def command(form: str, tags: Sequence[str]) -> None:
    """Write the grammar of TissLang, made from the same table as the parser.

    \b
    Examples:
      tissu lang grammar
      tissu lang grammar --format gbnf > tiss.gbnf
      tissu lang grammar --format gbnf --tag PY --tag README
      tissu lang grammar --format textmate > tiss.tmLanguage.json
    """
    from quanta_tissu.errors import ConfigError

    if tags and form != "gbnf":
        raise ConfigError(f"--tag means nothing to {form}", hint="it belongs to --format gbnf")
    if form == "ebnf":
        from quanta_tissu.tisslang.grammars.ebnf import ebnf

        click.echo(ebnf(), nl=False)
    elif form == "gbnf":
        from quanta_tissu.tisslang.grammars.gbnf import TAGS, gbnf

        click.echo(gbnf(tags or TAGS), nl=False)
    else:
        from quanta_tissu.tisslang.grammars.textmate import textmate

        click.echo(textmate(), nl=False)
