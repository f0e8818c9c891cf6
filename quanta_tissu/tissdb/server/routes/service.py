"""`_health`, `_metrics`, and who one is."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from quanta_tissu import __version__
from quanta_tissu.tissdb.server import answers
from quanta_tissu.tissdb.server.access import client, server_of
from quanta_tissu.tissdb.server.failures import RequestError
from quanta_tissu.tissdb.server.logs import log
from quanta_tissu.tissdb.server.metrics import CONTENT_TYPE, family
from quanta_tissu.tissdb.server.routes.common import answer
from quanta_tissu.tissdb.server.tokens import EVERY, Token

router = APIRouter(prefix="/v1", tags=["service"])

Client = Annotated[Token, Depends(client)]


@router.get("/_health", response_model=answers.Health)
def health(request: Request) -> Response:
    """Whether the server answers, and every database that is open can be read. Needs no token."""
    server = server_of(request)
    opened = server.databases.opened()
    broken = []
    for name, db in opened.items():
        try:
            db.head()
        except Exception:
            log.exception("the database %s cannot be read", name)
            broken.append(name)
    if broken:
        raise RequestError(503, f"{len(broken)} databases cannot be read", hint="the server's log says why")
    return answer(
        {
            "status": "ok",
            "version": __version__,
            "seconds": round(time.monotonic() - server.began, 3),
            "databases": len(opened),
        }
    )


@router.get("/_metrics", responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request, token: Client) -> Response:
    """Counters for Prometheus. Needs a role for all databases."""
    server = server_of(request)
    if not token.allows(EVERY, "reader"):
        raise RequestError(403, f"{token.name} is no reader of all databases", hint="grant '*=reader'")
    opened = server.databases.opened().items()
    lines = [
        *server.metrics.lines(),
        *family("tissdb_transactions_open", "gauge", "Transactions begun.", [({}, server.transactions.count)]),
        *family(
            "tissdb_writes_waiting",
            "gauge",
            "Writes in the queue of the writer.",
            [({"database": name}, db.writes_waiting) for name, db in opened],
        ),
        *family(
            "tissdb_database_bytes",
            "gauge",
            "Size on disk.",
            [({"database": name}, db.size()) for name, db in opened],
        ),
        *family(
            "tissdb_log_entries",
            "counter",
            "Entries of the log.",
            [({"database": name}, db.head().seq) for name, db in opened],
        ),
        *family(
            "tissdb_uptime_seconds", "gauge", "Since it began.", [({}, round(time.monotonic() - server.began, 3))]
        ),
    ]
    return Response("\n".join(lines) + "\n", media_type=CONTENT_TYPE)


@router.get("/_token", response_model=answers.Client)
def token(token: Client) -> Response:
    """Whose token this is, and what it may do."""
    return answer({"name": token.name, "grants": token.grants, "expires": token.expires})
