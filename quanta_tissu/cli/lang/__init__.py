"""`tissu lang`: scripts of TissLang from the command line."""

from __future__ import annotations

import click

from quanta_tissu.cli.lang.check import command as check_command
from quanta_tissu.cli.lang.explain import command as explain_command
from quanta_tissu.cli.lang.fmt import command as fmt_command
from quanta_tissu.cli.lang.grammar import command as grammar_command
from quanta_tissu.cli.lang.graph import command as graph_command
from quanta_tissu.cli.lang.lsp import command as lsp_command
from quanta_tissu.cli.lang.plan import command as plan_command


@click.group("lang")
def command() -> None:
    """Check, format and explain scripts of TissLang (.tiss).

    \b
    Examples:
      tissu lang check plan.tiss
      tissu lang check --format github workflows/
      tissu lang fmt plan.tiss
      tissu lang plan plan.tiss
      tissu lang explain E010
      tissu lang explain RETRY
    """


for _command in (
    check_command,
    explain_command,
    fmt_command,
    grammar_command,
    graph_command,
    lsp_command,
    plan_command,
):
    command.add_command(_command)
