"""`tissu lang lsp`."""

from __future__ import annotations

import click

from quanta_tissu.cli.failures import ExitCode


@click.command("lsp")
def command() -> None:
    """Answer an editor about scripts: the language server, on standard input and output.

    Editors start it themselves; docs/tisslang-editors.md says how to tell them. It needs
    `pip install 'quanta-tissu[lsp]'`.

    \b
    Examples:
      tissu lang lsp
    """
    import importlib.util

    from quanta_tissu.errors import MissingDependencyError

    if importlib.util.find_spec("pygls") is None:
        raise MissingDependencyError(
            "the language server needs pygls, which is not installed",
            hint="install it with `pip install 'quanta-tissu[lsp]'`",
        )
    from quanta_tissu.tisslang.lsp.server import serve

    if not serve():
        click.get_current_context().exit(ExitCode.FAILURE)
