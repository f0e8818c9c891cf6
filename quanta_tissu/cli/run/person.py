"""The person at the terminal, whom scripts ask."""

from __future__ import annotations

import sys

import click

from quanta_tissu.cli.user import user
from quanta_tissu.tisslang.running.people import Answer, Approving, Denying, Nobody, Person, Question, read_answer

UNATTENDED: dict[str, type[Nobody] | type[Denying] | type[Approving]] = {
    "wait": Nobody,
    "deny": Denying,
    "approve": Approving,
}
"""What `--unattended` means."""


class AtTerminal:
    """Asks on the terminal; whoever ends the input there lets the run wait."""

    def __init__(self) -> None:
        self._user = user()

    def ask(self, question: Question) -> Answer | None:
        """The answer that is typed in."""
        click.echo(err=True)
        click.echo(click.style(f"? {question.title}", fg="yellow", bold=True), err=True)
        for line in question.shown.splitlines() if question.shown != question.title else ():
            click.echo(f"  │ {visible(line)}", err=True)
        for number, option in enumerate(question.options, 1):
            click.echo(f"  {number}  {visible(option)}", err=True)
        while True:
            try:
                said = click.prompt(
                    "  your answer (a number or a word; a comment after a colon)", prompt_suffix=": ", err=True
                )
            except click.Abort:
                click.echo(err=True)
                return None
            try:
                return read_answer(str(said), question, self._user)
            except ValueError as error:
                click.echo(f"  {error}", err=True)


def whom_to_ask(unattended: str | None) -> Person:
    """Whoever answers: the person at the terminal, if there is one; otherwise what is said for that case."""
    if unattended is None and sys.stdin.isatty() and sys.stderr.isatty():
        return AtTerminal()
    return UNATTENDED[unattended or "deny"]()


def visible(text: str) -> str:
    """A line without what a terminal would obey: what is approved must be what is seen."""
    return "".join(one if one.isprintable() or one == "\t" else f"\\x{ord(one):02x}" for one in text)
