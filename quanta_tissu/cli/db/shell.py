"""`tissu db shell`: statements and dot-commands, with history and completion."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.cli.db.finding import show_hits, show_result
from quanta_tissu.cli.db.opening import (
    counted,
    database_argument,
    json_line,
    opened,
    pretty_json,
    print_table,
    require_collection,
)
from quanta_tissu.errors import DatabaseError, NotFoundError, TissuError

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer

    from quanta_tissu.tissdb import Database

KEYWORDS = (
    *(
        "ALL",
        "AND",
        "AS",
        "ASC",
        "AVG",
        "BETWEEN",
        "BY",
        "COUNT",
        "DELETE",
        "DESC",
        "DISTINCT",
        "ESCAPE",
        "EXISTS",
    ),
    *(
        "EXPLAIN",
        "FALSE",
        "FROM",
        "GROUP",
        "HAVING",
        "IN",
        "INSERT",
        "INTO",
        "IS",
        "JOIN",
        "LEFT",
        "LIKE",
        "LIMIT",
    ),
    *(
        "MATCH",
        "MAX",
        "MIN",
        "NEAR",
        "NOT",
        "NULL",
        "OFFSET",
        "ON",
        "OR",
        "ORDER",
        "SCORE",
        "SELECT",
        "SET",
        "SUM",
    ),
    *("TRUE", "UNION", "UPDATE", "VALUES", "WHERE"),
)

_WORD = re.compile(r"\.?[\w.]+")

_SAMPLED = 50
"""Documents of a collection whose fields are offered."""


@click.command("shell")
@database_argument
def command(database: str) -> None:
    """Type TissQL and see the answers; `.help` lists the other commands, Tab completes.

    Names of collections, fields and keywords are completed, and what was typed is remembered. Statements may also
    come from a pipe, one in each line; then the first error ends it.

    \b
    Examples:
      tissu db shell notes.db
      tissu db shell notes.db < statements.txt
    """
    with opened(database) as db:
        shell = Shell(db)
        if not sys.stdin.isatty():
            _run_all(shell, sys.stdin.buffer)
            return
        read = _reader(lambda: _words(db))
        click.echo(
            f"{database}: {counted(len(db.collections()), 'collection')}. .help for help, .quit or Ctrl-D to leave"
        )
        while True:
            try:
                if not shell.run(read()):
                    return
            except EOFError:
                return
            except KeyboardInterrupt:
                continue
            except TissuError as error:
                click.echo(f"error: {error}", err=True)


def _run_all(shell: Shell, lines: Iterable[bytes]) -> None:
    """Run statements from a pipe, and say at which line one fails."""
    for number, line in enumerate(lines, 1):
        try:
            if not shell.run(line.decode("utf-8-sig" if number == 1 else "utf-8")):
                return
        except UnicodeDecodeError as error:
            raise DatabaseError(
                f"line {number} is not UTF-8 text: {error.reason}", hint="save it as UTF-8"
            ) from None
        except TissuError:
            click.echo(f"line {number} of standard input cannot be done, nor what comes after it:", err=True)
            raise


class Shell:
    """Runs lines.

    Args:
        db: The database.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._as_json = False

    def run(self, line: str) -> bool:
        """Run a statement or a dot-command.

        Returns:
            Whether to go on.

        Raises:
            TissuError: It cannot be done.
        """
        line = line.strip().removesuffix(";").strip()
        if not line or line.startswith("--"):
            return True
        if not line.startswith("."):
            show_result(self._db.query(line), as_json=self._as_json)
            return True
        name, *words = line.split(maxsplit=2)
        if name in (".quit", ".exit"):
            return False
        if name not in _COMMANDS:
            raise NotFoundError(f"there is no command {name}", hint=f"commands: {' '.join([*_COMMANDS, '.quit'])}")
        usage, _, work = _COMMANDS[name]
        if len(words) != len(usage.split()):
            raise NotFoundError(f"{name} takes {usage or 'nothing'}", hint=".help explains every command")
        work(self, *words)
        return True

    def help(self) -> None:
        """List the commands."""
        click.echo("a statement of TissQL: SELECT, INSERT, UPDATE, DELETE, EXPLAIN")
        for name, (usage, summary, _) in _COMMANDS.items():
            click.echo(f"{f'{name} {usage}':<28} {summary}")
        click.echo(f"{'.quit':<28} leave (as Ctrl-D does)")

    def collections(self) -> None:
        """List the collections."""
        names = self._db.collections()
        if not names:
            click.echo("no collections yet")
            return
        print_table(("collection", "documents"), ((name, f"{self._db[name].count():,}") for name in names))

    def indexes(self, collection: str) -> None:
        """List the indexes of a collection."""
        from quanta_tissu.tissdb.paths import path_text

        require_collection(self._db, collection)
        found = self._db[collection].indexes.values()
        if not found:
            click.echo(f"{collection} has no indexes")
            return
        rows = (
            (one.name, one.kind, ", ".join(map(path_text, one.paths)), json_line(one.options)) for one in found
        )
        print_table(("index", "kind", "fields", "options"), rows)

    def get(self, collection: str, id: str) -> None:
        """Show a document."""
        document = self._db[collection][id].as_dict()
        click.echo(json_line(document) if self._as_json else pretty_json(document))

    def search(self, collection: str, words: str) -> None:
        """Search by words."""
        show_hits(self._db[collection].search(words), as_json=self._as_json)

    def json(self) -> None:
        """Switch between tables and JSON."""
        self._as_json = not self._as_json
        click.echo(f"answers come as {'lines of JSON' if self._as_json else 'tables'}")


_COMMANDS: dict[str, tuple[str, str, Callable[..., None]]] = {
    ".help": ("", "this list", Shell.help),
    ".collections": ("", "collections and how many documents they have", Shell.collections),
    ".indexes": ("COLLECTION", "its indexes", Shell.indexes),
    ".get": ("COLLECTION ID", "a document", Shell.get),
    ".search": ("COLLECTION WORDS", "what fits best, and why", Shell.search),
    ".json": ("", "answer in JSON, or in tables again", Shell.json),
}
"""By name: what they take, what they do."""


def _words(db: Database) -> list[str]:
    """What the Tab key offers: collections, fields that their first documents have, keywords and commands."""
    found: dict[str, None] = {}
    for name in db.collections():
        found[name] = None
        for document in islice(db[name].scan(), _SAMPLED):
            found.update(dict.fromkeys(_paths(document.value)))
    return [*sorted(found), *KEYWORDS, *_COMMANDS, ".quit"]


def _paths(value: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, item in value.items():
        yield f"{before}{name}"
        if isinstance(item, dict):
            yield from _paths(item, f"{before}{name}.")


def _reader(words: Callable[[], Iterable[str]]) -> Callable[[], str]:
    """Reads lines with an editor."""
    from prompt_toolkit import PromptSession

    from quanta_tissu.cli.chat_input import enter_sends, history

    session: PromptSession[str] = PromptSession(
        history=history("db_history"),
        key_bindings=enter_sends(),
        completer=completer(words),
        complete_while_typing=False,
        multiline=True,
        prompt_continuation="… ",
    )
    return lambda: session.prompt("tissql> ")


def completer(words: Callable[[], Iterable[str]]) -> Completer:
    """Completes the word before the cursor, in whatever case it was begun.

    Args:
        words: Gives the words to offer; asked each time, since collections come and go.
    """
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

    class Words(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
            begun = document.get_word_before_cursor(pattern=_WORD)
            if begun:
                for word in words():
                    if word.lower().startswith(begun.lower()):
                        yield Completion(word, start_position=-len(begun))

    return Words()
