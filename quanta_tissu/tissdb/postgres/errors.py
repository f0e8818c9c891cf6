"""Errors of PostgreSQL in our words."""

from __future__ import annotations

import psycopg
from psycopg import errors as pg

from quanta_tissu.errors import BusyError, CorruptionError, DatabaseError, InvalidDocumentError, StorageError

_GONE = ("57P01", "57P02", "57P03", "57P05")
"""The server ends the connection: it is shut down, has crashed, is starting, or finds it idle for too long."""


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone: the server said so, or can no longer say anything."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state.startswith("08") or state in _GONE


def translated(error: psycopg.Error) -> Exception:
    """An error of PostgreSQL as one of ours, or the same if it says nothing about the user's input or machine."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    match error:
        case pg.LockNotAvailable() | pg.DeadlockDetected() | pg.SerializationFailure():
            return BusyError(
                "another program has been writing to the database for too long",
                hint="try again; nothing was written",
            )
        case pg.QueryCanceled():
            return BusyError("the query took too long and was stopped", hint="narrow it, or raise the time limit")
        case pg.TooManyConnections():
            return BusyError(f"the server has no connection left ({text})", hint="try again, or raise its limit")
        case pg.DiskFull() | pg.OutOfMemory():
            return StorageError(
                f"the server has no room ({text})", hint="make room; nothing of this write was kept"
            )
        case pg.InsufficientPrivilege() | pg.ReadOnlySqlTransaction() | pg.InvalidSchemaName():
            return StorageError(
                f"the server does not let us do this ({text})",
                hint="the user must be allowed to create and write in the schema, on a server that is no standby",
            )
        case pg.InvalidAuthorizationSpecification():
            return StorageError(f"the server does not let us in ({text})", hint="check the address")
        case pg.DataCorrupted() | pg.IndexCorrupted():
            return CorruptionError(f"the server says that its files are damaged ({text})", hint="restore a backup")
        case pg.ProgramLimitExceeded() | pg.StringDataRightTruncation():
            return InvalidDocumentError(f"a value is too large for PostgreSQL ({text})", hint="split it")
        case pg.UndefinedFile():
            return DatabaseError(f"the server lacks what is needed ({text})", hint="install it on the server")
    if is_lost(error):
        return StorageError(
            f"the connection to the server is lost ({text})",
            hint="what was being written was not kept; the next use connects again",
        )
    return error


def unreachable(error: psycopg.Error) -> Exception:
    """Why there is no connection to begin with."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return StorageError(
        f"the server cannot be reached ({text})", hint="is it running, and are address, user and password right?"
    )
