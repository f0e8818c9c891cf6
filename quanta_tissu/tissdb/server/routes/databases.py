"""Databases: which there are, what is in them, their log."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from quanta_tissu.tissdb.server import answers
from quanta_tissu.tissdb.server.access import server_of
from quanta_tissu.tissdb.server.failures import RequestError
from quanta_tissu.tissdb.server.routes.common import Admin, Reader, answer
from quanta_tissu.tissdb.server.routes.service import Client
from quanta_tissu.tissdb.server.wire import entry_json

router = APIRouter(prefix="/v1", tags=["databases"])


@router.get("/_databases", response_model=answers.DatabaseNames)
def list_databases(request: Request, token: Client) -> Response:
    """The databases that one may read."""
    server = server_of(request)
    names = [name for name in server.databases.names() if token.allows(name, "reader")]
    return answer({"databases": names, "encoder": None if server.encoder is None else server.encoder.name})


@router.put("/{database}", response_model=answers.DatabaseMade)
def create_database(request: Request, database: str, token: Client) -> Response:
    """Make a database, or see that it is there."""
    if not token.allows(database, "admin"):
        raise RequestError(403, f"{token.name} is no admin of {database}", hint=f"grant {database}=admin")
    db = server_of(request).databases.create(database)
    return answer({"database": database, "uuid": db.uuid})


@router.get("/{database}", response_model=answers.DatabaseStats)
def database_stats(session: Reader) -> Response:
    """Its collections with their documents and indexes, its size, and the end of its log."""
    db, head = session.db, session.db.head()
    collections = {}
    for name in db.collections():
        collection = db.collection(name)
        indexes = {index.name: index.kind for index in collection.indexes.values()}
        collections[name] = {"documents": collection.count(), "indexes": indexes}
    return answer(
        {
            "database": session.database,
            "uuid": db.uuid,
            "bytes": db.size(),
            "log": {"entries": head.seq, "head": head.hash.hex()},
            "collections": collections,
        }
    )


@router.get("/{database}/_log", response_model=answers.Entries)
def log(
    session: Admin,
    since: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """Who did what, and what was refused."""
    entries = [entry_json(entry) for entry in islice(session.db.log(since), limit)]
    return answer({"entries": entries, "next": entries[-1]["seq"] if entries else since})
