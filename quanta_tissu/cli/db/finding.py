"""`tissu db query` and `search`: TissQL, words, and nearness."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from quanta_tissu.cli.db.opening import (
    cell,
    collection_argument,
    counted,
    database_argument,
    json_line,
    opened,
    parameter_value,
    print_table,
    read_argument,
    timeout_option,
)
from quanta_tissu.errors import InvalidDocumentError

if TYPE_CHECKING:
    from quanta_tissu.tissdb.collection import Hit
    from quanta_tissu.tissdb.tissql.run import Result

_SHOWN = 160
"""Characters of a document in a list of hits."""


_parameters_option = click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="[NAME=]VALUE",
    help="A value for :NAME, or for the next `?`: JSON, and what is not JSON is text. May be repeated.",
)


@click.command("query")
@database_argument
@click.argument("statement", metavar="[STATEMENT | -]", required=False)
@_parameters_option
@click.option("--key", help="Idempotency key of INSERT, UPDATE and DELETE: under it they are done once.")
@timeout_option
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each row.")
def query_command(
    database: str,
    statement: str | None,
    parameters: tuple[str, ...],
    key: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Run a statement of TissQL: SELECT, INSERT, UPDATE, DELETE, or EXPLAIN and one of these.

    \b
    Examples:
      tissu db query notes.db 'SELECT title, stars FROM notes ORDER BY stars DESC LIMIT 5'
      tissu db query notes.db 'SELECT * FROM people WHERE contact.mail = ?' -p ada@example.org --json
      tissu db query notes.db 'UPDATE notes SET stars = 0 WHERE stars IS NULL'
    """
    text = read_argument(statement, "the statement")
    values = _values(parameters, text)
    with opened(database) as db:
        result = db.query(text, values, key=key, timeout=timeout)
    show_result(result, as_json=as_json)


@click.command("search")
@database_argument
@collection_argument
@click.argument("words", metavar="[WORDS]", required=False)
@click.option("--vector", metavar="JSON", help="Also, or only, what is near this vector; - reads standard input.")
@click.option("-k", "k", default=10, show_default=True, type=click.IntRange(1), help="Documents to find at most.")
@click.option("--all", "every", is_flag=True, help="Find only what has all the words.")
@click.option("--where", metavar="CONDITION", help="Look only at documents that suit it, in TissQL.")
@_parameters_option
@click.option("--text-index", metavar="NAME", help="Which index of words, if there are several.")
@click.option("--vector-index", metavar="NAME", help="Which index of vectors, if there are several.")
@timeout_option
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each hit.")
def search_command(
    database: str,
    collection: str,
    words: str | None,
    vector: str | None,
    k: int,
    every: bool,
    where: str | None,
    parameters: tuple[str, ...],
    text_index: str | None,
    vector_index: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Find the documents that fit best, and say why each was found.

    WORDS may hold "phrases", beginnings*, +required and -excluded words. Needs an index: `tissu db index --kind
    text`, or vector.

    \b
    Examples:
      tissu db search notes.db notes 'first note'
      tissu db search notes.db notes '"first note" -draft' -k 3 --json
      tissu db search notes.db notes note --where 'stars >= :least' -p least=3
    """
    if words is None and vector is None:
        raise click.UsageError("there is nothing to search for: give words, --vector, or both")
    near = None if vector is None else _vector(read_argument(vector, "the vector"))
    with opened(database) as db:
        hits = db.collection(collection).search(
            words,
            vector=near,
            k=k,
            need="all" if every else "any",
            text_index=text_index,
            vector_index=vector_index,
            where=where,
            parameters=_values(parameters, where or ""),
            timeout=timeout,
        )
    show_hits(hits, as_json=as_json)


def show_result(result: Result, *, as_json: bool) -> None:
    """What a statement found or did, on standard output."""
    if result.changed is not None:
        said = {"changed": result.changed}
        click.echo(json_line(said) if as_json else f"{counted(result.changed, 'document')} written")
    elif as_json:
        for row in result:
            click.echo(json_line(row))
    elif result.rows:
        print_table(result.columns, result.rows)
    else:
        click.echo("no rows")


def show_hits(hits: Sequence[Hit], *, as_json: bool) -> None:
    """What a search found, on standard output."""
    if as_json:
        for hit in hits:
            snippet = None if hit.snippet is None else hit.snippet.marked()
            said = {"score": hit.score, "why": hit.why, "snippet": snippet, "document": hit.document.as_dict()}
            click.echo(json_line(said))
    elif hits:
        print_table(
            ("id", "score", "why", "document"),
            ((hit.document.id, f"{hit.score:.4g}", hit.why, _shown(hit)) for hit in hits),
        )
    else:
        click.echo("nothing found")


def _values(parameters: tuple[str, ...], statement: str) -> list[Any] | dict[str, Any]:
    """Parameters as they were typed: by name if the statement has all their names, otherwise in order."""
    named = [re.match(r":?([^\W\d]\w*)=", text) for text in parameters]
    if parameters and all(found and re.search(rf":{found[1]}\b", statement) for found in named):
        pairs = zip(parameters, named, strict=True)
        return {found[1]: parameter_value(text[found.end() :]) for text, found in pairs if found}
    return [parameter_value(text) for text in parameters]


def _vector(text: str) -> list[float]:
    value = parameter_value(text)
    if not isinstance(value, list):
        raise InvalidDocumentError("the vector is no list of numbers", hint="as in --vector '[0.1, 0.2]'")
    return value


def _shown(hit: Hit) -> str:
    """Where the words stand in a document, or how it begins."""
    if hit.snippet is not None:
        return hit.snippet.marked()
    text = ", ".join(f"{name}: {cell(item)}" for name, item in hit.document.value.items())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
