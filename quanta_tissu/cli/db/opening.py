"""What the commands about databases share: how DB is named and opened, and how JSON and tables are shown."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from quanta_tissu.cli.failures import remedy
from quanta_tissu.cli.numbers import SECONDS
from quanta_tissu.cli.user import user
from quanta_tissu.errors import ConfigError, DatabaseError, NotFoundError

if TYPE_CHECKING:
    from quanta_tissu.tissdb import Database, Secret

F = TypeVar("F", bound=Callable[..., Any])

database_argument = click.argument("database", metavar="DB")
collection_argument = click.argument("collection", metavar="COLLECTION")
KEY_FILE = "quanta_tissu.tissdb.key_file"
"""Under which name the group's option is kept for its commands."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


timeout_option = click.option(
    "--timeout",
    metavar="SECONDS",
    type=SECONDS,
    help="Give up after so long. [never]",
)


_ANY_WIDTH = 1_000_000


def counted(number: int, thing: str) -> str:
    """A number of things: `1 document`, `2,000 documents`."""
    plural = {"index": "indexes"}.get(thing, f"{thing}s")
    return f"{number:,} {thing if number == 1 else plural}"


@contextmanager
def opened(database: str, *, make: bool = False, other: str | None = None) -> Iterator[Database]:
    """A database, on behalf of the user who runs the command.

    Args:
        database: A file or an address.
        make: Make the file if it is not there.
        other: Another one that the command opens, for which a key may be.

    Raises:
        NotFoundError: It is not there.
        DatabaseError: It would be gone at the end of the command.
        ConfigError: A key was named, and there is no file to which it could belong.
    """
    from quanta_tissu import tissdb

    if database == ":memory:":
        raise DatabaseError(
            "a database in memory would be gone when the command ends", hint="name a file; Python has :memory:"
        )
    if not make and "://" not in database and not Path(database).exists():
        raise NotFoundError(f"there is no database {database}", hint=f"`tissu db create {database}` makes it")
    if "://" in database and (other is None or "://" in other):
        refuse_key(database)
    given = secret() if "://" not in database else None
    key, passphrase = (given.key, given.passphrase) if given else (None, None)
    with tissdb.open(database, actor=user(), key=key, passphrase=passphrase) as db:
        yield db


def secret() -> Secret | None:
    """What opens encrypted files: --key-file of `tissu db`, or the environment.

    Raises:
        ConfigError: It is no key, or there are two.
    """
    from quanta_tissu.tissdb import Secret

    file = click.get_current_context().meta.get(KEY_FILE) or os.environ.get("TISSDB_KEY_FILE")
    passphrase = os.environ.get("TISSDB_PASSPHRASE")
    if file and passphrase:
        raise ConfigError("there are a key file and TISSDB_PASSPHRASE", hint="unset one of them")
    if passphrase:
        return Secret(passphrase=passphrase)
    return Secret(key=read_key(Path(file))) if file else None


def refuse_key(database: str) -> None:
    """Refuse --key-file for a database that is on a server; the environment's key is meant for files only.

    Raises:
        ConfigError: It was given.
    """
    file = click.get_current_context().meta.get(KEY_FILE)
    if file:
        raise ConfigError(
            f"--key-file {file} encrypts files, and {database.split('://')[0]}:// is a server",
            hint="leave it out; a server's disk is encrypted by its system, the way to it by sslmode",
        )


def read_key(file: Path) -> bytes:
    """The key in a file.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(f"the key file {file} cannot be read: {error.strerror}", hint=remedy(error)) from None
    except UnicodeDecodeError:
        text = ""
    if not re.fullmatch("[0-9A-Fa-f]{64}", text):
        raise ConfigError(f"{file} holds no key", hint="64 hexadecimal digits: `openssl rand -hex 32 > FILE`")
    return bytes.fromhex(text)


def require_collection(db: Database, name: str) -> None:
    """Refuse a collection that is not there, which an empty answer would hide.

    Raises:
        NotFoundError: It is not there.
    """
    known = db.collections()
    if name not in known:
        raise NotFoundError(
            f"there is no collection {name!r}", hint=f"collections: {', '.join(known) or 'none yet'}"
        )


def read_argument(text: str | None, what: str) -> str:
    """A value of the command line, or all of standard input for `-`."""
    if text is None and sys.stdin.isatty():
        raise click.UsageError(f"{what} is missing: give it, or - and standard input")
    if text is None or text == "-":
        try:
            return sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DatabaseError(
                f"standard input is not UTF-8 text: {error.reason} at byte {error.start}", hint="save it as UTF-8"
            ) from None
    return text


def parameter_value(text: str) -> Any:
    """A value as it is typed: JSON, and what is not JSON is text."""
    from quanta_tissu.errors import InvalidDocumentError
    from quanta_tissu.tissdb.values import decode_json

    try:
        return decode_json(text)
    except InvalidDocumentError:
        # What was meant as a tagged value should not become text.
        if text.lstrip().startswith(("{", "[")):
            raise
        return text


def json_line(value: Any) -> str:
    """A value as one line of JSON, with tags."""
    return json.dumps(_plain(value), ensure_ascii=False)


def pretty_json(value: Any) -> str:
    """A value as JSON for people."""
    return json.dumps(_plain(value), ensure_ascii=False, indent=2)


def _plain(value: Any) -> Any:
    """A value in JSON's own types; the fields of an object stay in their order."""
    from quanta_tissu.tissdb.values import plain

    return {name: plain(item) for name, item in value.items()} if isinstance(value, dict) else plain(value)


def cell(value: Any) -> str:
    """A value in a table: text as it is, the rest as JSON, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return str(value)
    return json_line(value)


def moment_text(microseconds: int) -> str:
    """A time of the log, in UTC."""
    return dt.datetime.fromtimestamp(microseconds / 1e6, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows below each other on standard output: what is too wide goes on in the next line, nothing is left out.

    Without a terminal, whose width would be a guess, each row is a line.
    """
    from rich.table import Table

    from quanta_tissu.cli.console import OutputConsole

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    console = OutputConsole(markup=False, highlight=False, emoji=False, width=_ANY_WIDTH if free else None)
    console.print(table)
