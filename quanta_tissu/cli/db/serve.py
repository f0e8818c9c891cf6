"""`tissu db serve` and `token`: databases over HTTP, and who may ask."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import click

from quanta_tissu.cli.db.opening import json_option, opened, print_table, refuse_key, secret
from quanta_tissu.cli.numbers import FiniteRange
from quanta_tissu.errors import ConfigError

_file_argument = click.argument("file", type=click.Path(path_type=Path))
_path = click.Path(path_type=Path)


@click.command("serve")
@click.argument("place", metavar="DIR|DB")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8470, show_default=True, type=click.IntRange(0, 65535), help="On which port.")
@click.option("--tokens", metavar="FILE", type=_path, help="Who may ask; without it only this machine.")
@click.option("--tls-cert", metavar="FILE", type=_path, help="Certificate with its chain (PEM): use HTTPS.")
@click.option("--tls-key", metavar="FILE", type=_path, help="Key of the certificate (PEM).")
@click.option("--rate", default=0.0, type=FiniteRange(0), help="Requests of a token in a second. [any]")
@click.option(
    "--burst",
    default=100,
    show_default=True,
    type=click.IntRange(1),
    help="Requests at once beside --rate.",
)
@click.option(
    "--max-body",
    default=32,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="MiB of a request; `_bulk` takes any number of lines.",
)
@click.option(
    "--query-timeout",
    default=30.0,
    show_default=True,
    type=FiniteRange(0),
    help="Seconds that a read may take; 0 for any.",
)
@click.option("--log-requests", is_flag=True, help="Write a line to standard error for each request.")
@click.option(
    "--embedder",
    metavar="NAME",
    help="What makes vectors of texts, for searches near a text, as in `tissu kb`.  [none]",
)
def serve_command(place: str, host: str, port: int, max_body: int, embedder: str | None, **options: Any) -> None:
    """Answer HTTP requests about a database, or about those of a folder, until Ctrl-C.

    At / is a page to browse, query and search with; /v1/openapi.json describes the interface to programs.
    Without --tokens everybody on this machine may do everything. Encrypted databases have one key, that of
    --key-file of `tissu db`, or of the environment.

    \b
    Examples:
      tissu db serve notes.db
      tissu db serve knowledge.db --embedder all-MiniLM-L6-v2
      tissu db token add tokens.json ada --grant 'notes=writer'
      tissu db serve databases --tokens tokens.json --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
    """
    from quanta_tissu.tissdb.server.serve import serve
    from quanta_tissu.tissdb.server.settings import Settings

    encoder = None
    if embedder is not None:
        from quanta_tissu.knowledge.choosing import embedder_named

        encoder = embedder_named(embedder)
    if "://" in place:
        refuse_key(place)
    elif Path(place).is_file():
        with opened(place):
            pass  # what is no database, or has another key, is said now and not to clients
    settings = Settings(
        tokens=options["tokens"],
        rate=options["rate"],
        burst=options["burst"],
        max_body=max_body * 2**20,
        log_requests=options["log_requests"],
        query_timeout=options["query_timeout"] or None,
        secret=None if "://" in place else secret(),
    )
    serve(
        place,
        settings,
        host=host,
        port=port,
        tls_cert=options["tls_cert"],
        tls_key=options["tls_key"],
        encoder=encoder,
        started=lambda url: click.echo(f"serving {place} at {url} (Ctrl-C ends it)", err=True),
    )


@click.group("token")
def token_command() -> None:
    """Make, list and revoke the tokens that clients of `tissu db serve` show.

    FILE holds their hashes, never themselves; a server reads it again when it changes.

    \b
    Examples:
      tissu db token add tokens.json ada --grant notes=writer --grant '*=reader'
      tissu db token list tokens.json
      tissu db token revoke tokens.json ada
    """


@token_command.command("add")
@_file_argument
@click.argument("name")
@click.option(
    "--grant", "grants", multiple=True, metavar="DB=ROLE", help="reader, writer or admin; * is every database."
)
@click.option("--days", type=FiniteRange(0, 1e6, min_open=True), help="For how long it holds. [until revoked]")
@json_option
def add_command(file: Path, name: str, grants: tuple[str, ...], days: float | None, as_json: bool) -> None:
    """Make a token and print it, once: it cannot be shown again.

    \b
    Example:
      tissu db token add tokens.json ada --grant notes=writer --days 90
    """
    from quanta_tissu.tissdb.server.tokens import TokenFile

    roles: dict[str, Any] = {}
    for grant in grants:
        database, equals, role = grant.partition("=")
        if not equals or not database:
            raise ConfigError(f"--grant {grant} is no grant", hint="as in --grant notes=reader")
        roles[database] = role
    lifetime = None if days is None else days * 86_400
    token = TokenFile(file).add(name, roles, lifetime=lifetime)
    click.echo(json.dumps({"name": name, "token": token}) if as_json else token)


@token_command.command("list")
@_file_argument
@json_option
def list_command(file: Path, as_json: bool) -> None:
    """List who may do what, and until when."""
    from quanta_tissu.tissdb.server.tokens import TokenFile

    tokens = TokenFile(file).tokens()
    if as_json:
        fields = ("name", "grants", "created", "expires")
        click.echo(json.dumps([{name: getattr(token, name) for name in fields} for token in tokens]))
        return
    rows = [(one.name, _grants(one.grants), _day(one.created), _day(one.expires)) for one in tokens]
    print_table(("name", "roles", "made", "holds"), rows)


@token_command.command("revoke")
@_file_argument
@click.argument("name")
def revoke_command(file: Path, name: str) -> None:
    """Refuse a token from now on, also by servers that run."""
    from quanta_tissu.tissdb.server.tokens import TokenFile

    TokenFile(file).revoke(name)
    click.echo(f"revoked {name}")


def _grants(grants: dict[str, Any]) -> str:
    return ", ".join(f"{database}={role}" for database, role in grants.items())


def _day(seconds: float | None) -> str:
    return "until revoked" if seconds is None else f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d %H:%M}"
