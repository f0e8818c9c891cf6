"""`tissu db`: databases of documents from the command line, one file for each theme."""

from __future__ import annotations

import click

from quanta_tissu.cli.db.audit import command as audit_command
from quanta_tissu.cli.db.care import (
    backup_command,
    compact_command,
    rekey_command,
    restore_command,
    stats_command,
    verify_command,
)
from quanta_tissu.cli.db.definitions import (
    alter_command,
    create_command,
    drop_command,
    index_command,
    tune_command,
)
from quanta_tissu.cli.db.documents import delete_command, get_command, put_command
from quanta_tissu.cli.db.exchange import copy_command, export_command, import_command
from quanta_tissu.cli.db.finding import query_command, search_command
from quanta_tissu.cli.db.opening import KEY_FILE
from quanta_tissu.cli.db.serve import serve_command, token_command
from quanta_tissu.cli.db.shell import command as shell_command
from quanta_tissu.cli.db.watch import command as watch_command


@click.group("db")
@click.option(
    "--key-file", metavar="FILE", help="Key of encrypted files: 64 hexadecimal digits.  [env TISSDB_KEY_FILE]"
)
@click.pass_context
def command(ctx: click.Context, key_file: str | None) -> None:
    """Keep documents, query and search them, and see who changed what.

    DB is a file, or postgresql://user@host/database?schema=NAME. Collections are made by the first document in
    them. Values beyond JSON are written {"$datetime": "2026-11-22T09:30:00Z"}, {"$date": ...}, {"$time": ...} and
    {"$binary": "<base64>"}.

    Encrypted files are opened with --key-file, or the environment: TISSDB_KEY_FILE, or TISSDB_PASSPHRASE. A new
    file is encrypted with what is given.

    \b
    Examples:
      tissu db create notes.db
      tissu db put notes.db notes '{"title": "A first note", "stars": 3}'
      tissu db query notes.db 'SELECT title, stars FROM notes WHERE stars > :least' -p least=2
      tissu db index notes.db notes words --kind text --field title
      tissu db search notes.db notes 'first note'
      openssl rand -hex 32 > key && tissu db --key-file key create secret.db
    """
    ctx.meta[KEY_FILE] = key_file


for _command in (
    *(create_command, alter_command, index_command, tune_command, drop_command),
    *(put_command, get_command, delete_command, import_command, export_command, copy_command),
    *(query_command, search_command, shell_command, watch_command),
    *(stats_command, verify_command, audit_command, backup_command, restore_command, compact_command),
    rekey_command,
    *(serve_command, token_command),
):
    command.add_command(_command)
