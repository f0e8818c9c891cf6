"""`_health`, `_metrics`, and who one is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from quanta_tissu import __version__
from quanta_tissu.tissdb.server import answers
from quanta_tissu.tissdb.server.access import client, server_of
from quanta_tissu.tissdb.server.failures import RequestError
from quanta_tissu.tissdb.server.metrics import CONTENT_TYPE
from quanta_tissu.tissdb.server.routes.common import answer
from quanta_tissu.tissdb.server.tokens import EVERY, Token

router = APIRouter(prefix="/v1", tags=["service"])

Client = Annotated[Token, Depends(client)]


@router.get("/_health", response_model=answers.Health)
def health(request: Request) -> Response:
    """Whether the server answers, and every database that is open can be read. Needs no token."""
    server = server_of(request)
    broken = []
    for name, db in server.databases.opened().items():
        try:
            db.head()
        except Exception:
            broken.append(name)
    if broken:
        raise RequestError(503, f"{len(broken)} databases cannot be read", hint="the server's log says why")
    return answer({"status": "ok", "version": __version__})


@router.get("/_metrics", responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request, token: Client) -> Response:
    """Counters for Prometheus. Needs a role for all databases."""
    server = server_of(request)
    if not token.allows(EVERY, "reader"):
        raise RequestError(403, f"{token.name} is no reader of all databases", hint="grant '*=reader'")
    lines = [*server.metrics.lines(), "# TYPE tissdb_transactions_open gauge"]
    lines.append(f"tissdb_transactions_open {server.transactions.count}")
    lines += ["# TYPE tissdb_database_bytes gauge", "# TYPE tissdb_log_entries counter"]
    for name, db in server.databases.opened().items():
        lines.append(f'tissdb_database_bytes{{database="{name}"}} {db.size()}')
        lines.append(f'tissdb_log_entries{{database="{name}"}} {db.head().seq}')
    return Response("\n".join(lines) + "\n", media_type=CONTENT_TYPE)


@router.get("/_token", response_model=answers.Client)
def token(token: Client) -> Response:
    """Whose token this is, and what it may do."""
    return answer({"name": token.name, "grants": token.grants, "expires": token.expires})
