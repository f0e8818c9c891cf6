"""`tissu secret`."""

from __future__ import annotations

import os
import sys

import click

from quanta_tissu.cli.runs.shared import open_secrets


@click.group("secret")
def command() -> None:
    """Keep passwords and keys that runs use and never record.

    They are in $XDG_DATA_HOME/tissu/secrets (by default ~/.local/share), which only you can read. `tissu secret
    encrypt` encrypts it with a passphrase, which is then asked for, or taken from TISSU_SECRETS_PASSPHRASE. A
    variable TISSU_SECRET_<NAME> comes before what is kept.

    \b
    Examples:
      tissu secret set GITHUB_TOKEN
      pass show github | tissu secret set GITHUB_TOKEN
      tissu secret list
      tissu secret remove GITHUB_TOKEN
    """


@command.command("set")
@click.argument("name")
def set_command(name: str) -> None:
    """Keep a secret, or give it another value.

    The value is asked for in the terminal and not shown, or read from standard input; one end of line behind it is
    no part of it. It is never an argument, which other users of the machine could see.

    \b
    Examples:
      tissu secret set GITHUB_TOKEN
      pass show github | tissu secret set GITHUB_TOKEN
    """
    from quanta_tissu.tisslang.journal.secrets import check_name

    check_name(name)
    store = open_secrets()
    if sys.stdin.isatty():
        value = click.prompt(f"value of {name}", hide_input=True, err=True)
    else:
        given = sys.stdin.buffer.read().decode(errors="surrogateescape")
        value = given.removesuffix("\n").removesuffix("\r")
    store.set(name, value)
    click.echo(f"kept {name} in {store.path}", err=True)


@command.command("list")
def list_command() -> None:
    """List the names of secrets and where each comes from; never their values.

    \b
    Examples:
      tissu secret list
    """
    for name, source in open_secrets().names().items():
        click.echo(f"{name}\t{source}")


@command.command("remove")
@click.argument("name")
def remove_command(name: str) -> None:
    """Forget a secret.

    \b
    Examples:
      tissu secret remove GITHUB_TOKEN
    """
    store = open_secrets()
    store.remove(name)
    click.echo(f"{name} is forgotten", err=True)


@command.command("encrypt")
def encrypt_command() -> None:
    """Encrypt the file in which secrets are kept.

    \b
    Examples:
      tissu secret encrypt
    """
    from quanta_tissu.errors import SecretError
    from quanta_tissu.tisslang.journal.secrets import PASSPHRASE, SecretStore

    passphrase = os.environ.get(PASSPHRASE)
    if not passphrase and sys.stdin.isatty():
        passphrase = click.prompt("new passphrase", hide_input=True, confirmation_prompt=True, err=True)
    if not passphrase:
        raise SecretError("there is no passphrase", hint=f"set {PASSPHRASE}, or run this in a terminal")
    store = SecretStore(passphrase=passphrase)
    store.encrypt()
    click.echo(f"{store.path} is encrypted; what the disk held before may still be found on it", err=True)
