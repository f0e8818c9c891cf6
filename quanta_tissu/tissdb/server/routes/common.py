"""What endpoints share: bodies, answers, and the roles of their clients."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Path, Request, Response
from pydantic import BaseModel, ConfigDict, WithJsonSchema

from quanta_tissu.tissdb.server.access import Session, needs
from quanta_tissu.tissdb.server.failures import RequestError
from quanta_tissu.tissdb.server.wire import json_bytes
from quanta_tissu.tissdb.values import decode_json

Reader = Annotated[Session, Depends(needs("reader"))]
Writer = Annotated[Session, Depends(needs("writer"))]
Admin = Annotated[Session, Depends(needs("admin"))]

# These schemas tell clients of rules that the database enforces, with errors of its own.
_NAME = {"type": "string", "minLength": 1, "maxLength": 100}
_NAMED = "Of {}: a letter, then letters, digits, _ or -."
CollectionName = Annotated[str, Path(description=_NAMED.format("a collection")), WithJsonSchema(_NAME)]
IndexName = Annotated[str, Path(description=_NAMED.format("an index")), WithJsonSchema(_NAME)]
Id = Annotated[
    str,
    Path(description="Of a document."),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 512}),
]
IfMatch = Annotated[
    str | None,
    Header(description="The ETag that the document must have."),
    WithJsonSchema({"type": "string", "pattern": '^"[0-9]{1,18}"$'}),
]
IdempotencyKey = Annotated[
    str | None,
    Header(description="What was done under it is not done again, and answered as before."),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 200}),
]

ANY_OBJECT: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}


async def known_parameters(request: Request) -> None:
    """Refuse parameters that the endpoint does not know, which it would otherwise ignore.

    Raises:
        RequestError: There is one.
    """
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        raise RequestError(
            422,
            f"there is no parameter {unknown[0][:80]!r} here",
            hint=f"known: {', '.join(sorted(known)) or 'none'}",
        )


class Body(BaseModel):
    """A body; fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


def answer(value: Any, status: int = 200, **headers: str) -> Response:
    """An answer in JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(json_bytes(value), status, named, media_type="application/json")


async def document_body(request: Request) -> Any:
    """The body as a value, tags of dates, times and bytes included.

    Raises:
        RequestError: It is of another type than JSON.
        InvalidDocumentError: It is not JSON.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind == "application/merge-patch+json" and request.method == "PATCH"):
        raise RequestError(415, f"the body is {kind or 'of no type'}", hint="Content-Type: application/json")
    return decode_json(await request.body())


DocumentBody = Annotated[Any, Depends(document_body)]
