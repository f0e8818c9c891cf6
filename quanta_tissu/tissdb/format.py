"""The format of a database: made new, seen to be ours, brought up to date."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from quanta_tissu.errors import CorruptionError, DatabaseError
from quanta_tissu.tissdb.backend import Backend, Connection
from quanta_tissu.tissdb.log import EMPTY

FORMAT = 2
"""Of tables and files; one of a later format is refused, one of an earlier is brought up to date when opened.

1: the first. 2: every page of a file has a checksum, or the cipher's tag.
"""

_MAGIC = "quanta_tissu.tissdb"


def set_up(backend: Backend) -> None:
    """Make the tables of a new database; see that those of an old one are ours.

    Raises:
        CorruptionError: They are not.
        DatabaseError: They are of a later format, or of an earlier one and cannot be brought up to date.
    """
    if backend.frozen:
        _refuse_other(backend)
        return
    with _writing(backend) as connection:
        format = FORMAT
        if connection.dialect.has_tables(connection):
            format = _format(connection, backend.url)
        else:
            for statement in connection.dialect.create_base_tables():
                connection.run(statement)
            connection.run('INSERT INTO _head ("only", seq, hash, catalog) VALUES (1, 0, ?, 0)', (EMPTY,))
            for name, value in {"magic": _MAGIC, "format": str(FORMAT), "uuid": str(uuid.uuid4())}.items():
                connection.run("INSERT INTO _settings (name, value) VALUES (?, ?)", (name, value))
    backend.upgrade(format)
    if format < FORMAT:
        with _writing(backend) as connection:
            connection.run("UPDATE _settings SET value = ? WHERE name = 'format'", (str(FORMAT),))


def _refuse_other(backend: Backend) -> None:
    """See that a database that may not be written is as those of this version are."""
    connection = backend.connect(write=False)
    try:
        format = _format(connection, backend.url)
    finally:
        connection.close()
    if format < FORMAT:
        raise DatabaseError(
            f"{backend.url} has format {format}, is to be brought up to {FORMAT}, and may not be written",
            hint="open it once with the right to write, or a copy of it",
        )


@contextmanager
def _writing(backend: Backend) -> Iterator[Connection]:
    connection = backend.connect(write=True)
    try:
        connection.begin_write()
        yield connection
        connection.commit()
    finally:
        if not connection.lost:
            connection.rollback()
        connection.close()


def _format(connection: Connection, url: str) -> int:
    settings: dict[str, str] = {}
    if connection.dialect.has_tables(connection, "_settings"):
        settings = dict(connection.rows("SELECT name, value FROM _settings WHERE name IN ('magic', 'format')"))
    if settings.get("magic") != _MAGIC:
        raise CorruptionError(f"{url} is a database, but not one of TissDB", hint="name another file")
    format = int(settings["format"])
    if format > FORMAT:
        raise DatabaseError(
            f"{url} has format {format}; this version knows formats up to {FORMAT}",
            hint="open it with the version that wrote it, or a later one",
        )
    return format
