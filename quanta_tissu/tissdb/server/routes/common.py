"""What endpoints share: bodies, answers, and the roles of their clients."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel, ConfigDict

from quanta_tissu.tissdb.server.access import Session, needs
from quanta_tissu.tissdb.server.failures import RequestError
from quanta_tissu.tissdb.server.wire import json_bytes
from quanta_tissu.tissdb.values import decode_json

Reader = Annotated[Session, Depends(needs("reader"))]
Writer = Annotated[Session, Depends(needs("writer"))]
Admin = Annotated[Session, Depends(needs("admin"))]

IfMatch = Annotated[str | None, Header(description="The ETag that the document must have.")]
IdempotencyKey = Annotated[
    str | None, Header(description="What was done under it is not done again, and answered as before.")
]

ANY_OBJECT: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}


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
