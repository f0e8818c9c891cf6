"""The application: routes, errors, and the life of the databases."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from quanta_tissu import __version__
from quanta_tissu.errors import BusyError, TissuError
from quanta_tissu.tissdb.paths import path_text
from quanta_tissu.tissdb.server.access import Encoder, Server
from quanta_tissu.tissdb.server.databases import Databases
from quanta_tissu.tissdb.server.edge import Edge
from quanta_tissu.tissdb.server.failures import RequestError, error_body, status_of, type_of
from quanta_tissu.tissdb.server.limits import RateLimit
from quanta_tissu.tissdb.server.routes import (
    changes,
    collections,
    databases,
    documents,
    finding,
    page,
    service,
    transactions,
)
from quanta_tissu.tissdb.server.routes.common import known_parameters
from quanta_tissu.tissdb.server.settings import Settings
from quanta_tissu.tissdb.server.tokens import TokenFile

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message", "hint", "path", "request"],
            "properties": {
                "type": {"type": "string", "description": "What kind of error: `conflict`, `not_found` ..."},
                "message": {"type": "string", "description": "What is wrong, with the value."},
                "hint": {"type": ["string", "null"], "description": "What to do about it."},
                "path": {"type": "string", "description": "Where in the body, as `a.b[0]`."},
                "request": {"type": "string", "description": "The request's id, as in X-Request-Id."},
                "line": {"type": "integer", "description": "Of a statement of TissQL."},
                "column": {"type": "integer"},
                "start": {"type": "integer", "description": "The place, in code points from the beginning."},
                "end": {"type": "integer"},
                "stored": {"type": "integer", "description": "Of `_bulk`: documents that were stored before."},
            },
        }
    },
}


def create_app(place: str, settings: Settings | None = None, *, encoder: Encoder | None = None) -> FastAPI:
    """An application that serves databases; they are closed when it ends.

    Args:
        place: A folder of databases, a file, or an address.
        settings: How it behaves.
        encoder: Makes vectors of texts, for searches near a text.

    Raises:
        NotFoundError: The folder or the database is not there.
        DatabaseError: The file of tokens cannot be read.
    """
    settings = settings or Settings()
    tokens = None if settings.tokens is None else TokenFile(settings.tokens)
    if tokens is not None:
        tokens.tokens()
    server = Server(
        Databases(place, settings.secret, timeout=settings.query_timeout),
        settings,
        tokens,
        RateLimit(settings.rate, settings.burst),
        encoder=encoder,
    )

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        server.databases.close()

    refused = {"description": "Refused", "content": {"application/json": {"schema": _ERROR}}}
    app = FastAPI(
        title="TissDB",
        version=__version__,
        description="Collections of JSON documents: stored, queried, searched, and every change written down.",
        lifespan=life,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # the pages of FastAPI load scripts from other servers
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": refused, "5XX": refused},
    )
    app.state.server = server
    app.add_middleware(Edge, server=server)
    app.include_router(page.router)
    for part in (service, databases, transactions, finding, changes, collections, documents):
        app.include_router(part.router, dependencies=[Depends(known_parameters)])
    app.add_exception_handler(TissuError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _unknown)
    return app


def _refused(request: Request, error: Any) -> Response:
    conditional = any(name in request.headers for name in ("if-match", "if-none-match"))
    headers = dict(error.headers) if isinstance(error, RequestError) else {}
    if isinstance(error, BusyError):
        headers["Retry-After"] = "1"
    return _answer(request, error, status_of(error, conditional=conditional), headers)


def _malformed(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    where, *steps = first["loc"]
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if where == "body" and not steps and kind != "application/json":
        refusal = RequestError(415, f"the body is {kind or 'of no type'}", hint="Content-Type: application/json")
        return _answer(request, refusal, 415, {})
    path = path_text(tuple(steps)) if where == "body" and steps and isinstance(steps[0], str) else ""
    named = path or " ".join(str(step) for step in (steps if where != "body" else ["the body"]))
    refusal = RequestError(
        422, f"{named}: {first['msg']}", path=path, hint="/v1/openapi.json says what is expected"
    )
    return _answer(request, refusal, 422, {})


def _unknown(request: Request, error: Any) -> Response:
    refusal = RequestError(error.status_code, f"{request.method} {request.url.path}: {str(error.detail).lower()}")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
    return _answer(request, refusal, error.status_code, headers)


def _allowed(request: Request) -> list[str]:
    """The methods of an address, as the OpenAPI document has them."""
    for path, methods in request.app.openapi()["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path).replace(r"\{id\}", ".+"))
        if re.fullmatch(pattern, request.url.path):
            return [method.upper() for method in methods]
    return ["GET"]  # of the page


def _answer(request: Request, error: TissuError, status: int, headers: dict[str, str]) -> Response:
    request.app.state.server.metrics.error(type_of(error))
    return Response(error_body(error, request.state.request_id), status, headers, media_type="application/json")
