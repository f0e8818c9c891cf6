"""`tissu lang`: scripts of TissLang from the command line."""

from __future__ import annotations

import click

from quanta_tissu.cli.lang.check import command as check_command
from quanta_tissu.cli.lang.explain import command as explain_command
from quanta_tissu.cli.lang.fmt import command as fmt_command
from quanta_tissu.cli.lang.lsp import command as lsp_command


@click.group("lang")
def command() -> None:
    """Check, format and explain scripts of TissLang (.tiss).

    \b
    Examples:
      tissu lang check plan.tiss
      tissu lang check --format github workflows/
      tissu lang fmt plan.tiss
      tissu lang explain E010
      tissu lang explain RETRY
    """


for _command in (check_command, explain_command, fmt_command, lsp_command):
    command.add_command(_command)
