"""`tissu db import` and `export`: lines of JSON in and out; `copy`: from one database to another."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import click

from quanta_tissu.cli.db.opening import (
    collection_argument,
    counted,
    database_argument,
    json_option,
    opened,
    require_collection,
)
from quanta_tissu.cli.writing import replacing
from quanta_tissu.errors import ConflictError, DataError


@click.command("import")
@database_argument
@collection_argument
@click.argument("file", metavar="[FILE | -]", default="-")
@click.option("--key", help="A name for this import: repeated under it, it goes on where it was interrupted.")
def import_command(database: str, collection: str, file: str, key: str | None) -> None:
    """Insert documents from a file with a JSON object in each line.

    Of each object, `_id`, `_expires` and `_vectors` ({"index": [numbers]}) are understood; all are optional. Five
    hundred documents are stored at once; at an error those before stay stored.

    \b
    Examples:
      tissu db import notes.db notes notes.jsonl --key monday
      zcat notes.jsonl.gz | tissu db import notes.db notes -
    """
    from quanta_tissu.tissdb.jsonl import import_lines

    done = 0
    with opened(database) as db, _input(file) as (stream, size):
        began = time.perf_counter()
        with _showing("importing", size) as show:
            lines = _Lines(stream, file)

            def progress(documents: int) -> None:
                nonlocal done
                done = documents
                show(documents, lines.bytes)

            try:
                import_lines(db.collection(collection), lines, key=key, progress=progress)
            except BaseException:
                again = "" if key is None else f"; repeat it with --key {key} to go on from there"
                click.echo(f"{counted(done, 'document')} stored{again}", err=True)
                raise
        seconds = time.perf_counter() - began
    click.echo(f"imported {_rate(done, seconds)} into {collection}")


@click.command("export")
@database_argument
@collection_argument
@click.argument("file", metavar="[FILE | -]", default="-")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def export_command(database: str, collection: str, file: str, force: bool) -> None:
    """Write all documents of a collection as lines of JSON, as they are at this moment.

    With ids, times of expiry and vectors, so that `tissu db import` makes the same collection of it.

    \b
    Examples:
      tissu db export notes.db notes notes.jsonl
      tissu db export notes.db notes | gzip > notes.jsonl.gz
    """
    from quanta_tissu.tissdb.jsonl import export_lines

    target = Path(file)
    if file != "-" and target.is_file() and not force:
        raise DataError(f"{file} is there already", hint="name another file, or replace it with --force")
    if file != "-" and target.exists() and Path(database).exists() and target.samefile(database):
        raise DataError(f"{file} is the database itself", hint="name another file: it would be lost")
    with opened(database) as db:
        require_collection(db, collection)
        with db.view() as view:
            lines = export_lines(view.collection(collection))
            if file == "-":
                for line in lines:
                    click.echo(line)
                return
            began, done = time.perf_counter(), 0
            with _showing("exporting", None) as show, replacing(target, ours=_no_database) as out:
                for done, line in enumerate(lines, 1):
                    out.write(f"{line}\n".encode())
                    if done % 1000 == 0:
                        show(done, 0)
    click.echo(f"exported {_rate(done, time.perf_counter() - began)} to {file}")


@click.command("copy")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@json_option
def copy_command(source: str, target: str, as_json: bool) -> None:
    """Copy a database into a new one, of any engine, and compare them.

    Collections, indexes, documents with ids and times, and vectors are the same to the bit, or it fails and TARGET
    is empty again. Revisions and the log are the target's own.

    \b
    Examples:
      tissu db copy notes.db 'postgresql://ada@db.example/work?schema=notes'
      tissu db copy 'postgresql://ada@db.example/work?schema=notes' notes.db
    """
    from quanta_tissu import tissdb

    with opened(source, other=target) as old, opened(target, make=True, other=source) as new:
        if new.uuid == old.uuid:
            raise ConflictError(f"{old.url} and {new.url} are one database", hint="name another target")
        there = new.collections()
        if there:
            raise ConflictError(
                f"{new.url} is not empty: it has {', '.join(there)}", hint="name a database that is not there yet"
            )
        began = time.perf_counter()
        with _showing("copying", None) as show:
            copied = tissdb.copy(old, new, progress=lambda documents: show(documents, 0))
        seconds = time.perf_counter() - began
    if as_json:
        click.echo(json.dumps(asdict(copied)))
        return
    click.echo(
        f"copied {_rate(copied.documents, seconds)} to {new.url}, in {counted(copied.collections, 'collection')} "
        f"with {counted(copied.indexes, 'index')} and {counted(copied.vectors, 'vector')}; "
        f"compared: SHA-256 {copied.digest[:16]}…"
    )


def _no_database(beginning: bytes) -> bool:
    return not beginning.startswith(b"SQLite format 3\0")


class _Lines:
    """Lines of text of a file of bytes.

    Attributes:
        bytes: How many have been read.
    """

    def __init__(self, stream: Iterable[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self.bytes = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self._stream, 1):
            self.bytes += len(line)
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"line {number} of {self._name} is not UTF-8 text: {error.reason}") from None


@contextmanager
def _input(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The bytes of a file and how many there are; of standard input nobody knows."""
    if file == "-":
        yield sys.stdin.buffer, None
        return
    with Path(file).open("rb") as stream:
        yield stream, Path(file).stat().st_size


def _rate(documents: int, seconds: float) -> str:
    return f"{counted(documents, 'document')} in {seconds:.1f} s ({documents / max(seconds, 1e-9):,.0f} a second)"


@contextmanager
def _showing(title: str, total: int | None) -> Iterator[Callable[[int, int], None]]:
    """Show progress on standard error, if that is a terminal.

    Args:
        title: What is being done.
        total: Bytes to read, if that is known.

    Yields:
        A function to call with the documents and the bytes so far.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from quanta_tissu.cli.console import error_console

    console = error_console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[documents]:,} documents, {task.fields[rate]:,.0f} a second"),
        TimeElapsedColumn() if total is None else TimeRemainingColumn(),
    )
    began = time.perf_counter()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total, documents=0, rate=0.0)

        def show(documents: int, read: int) -> None:
            rate = documents / max(time.perf_counter() - began, 1e-9)
            progress.update(task, completed=read, documents=documents, rate=rate)

        yield show
