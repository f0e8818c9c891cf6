"""Documents: one at a time by their id, and many as lines of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from quanta_tissu.errors import InvalidDocumentError, NotFoundError, TissuError
from quanta_tissu.tissdb.documents import Written
from quanta_tissu.tissdb.jsonl import export_lines, import_lines, new_document
from quanta_tissu.tissdb.reading import read_part
from quanta_tissu.tissdb.server import answers
from quanta_tissu.tissdb.server.access import Session
from quanta_tissu.tissdb.server.failures import RequestError, error_body, status_of
from quanta_tissu.tissdb.server.routes.collections import find
from quanta_tissu.tissdb.server.routes.common import (
    ANY_OBJECT,
    CollectionName,
    DocumentBody,
    Id,
    IdempotencyKey,
    IfMatch,
    Reader,
    Writer,
    answer,
)
from quanta_tissu.tissdb.server.wire import document_json, etag, expiry_of, revision_of

router = APIRouter(prefix="/v1/{database}/{collection}", tags=["documents"])

_AT_ONCE = 500
_LINES: dict[str, Any] = {"content": {"application/x-ndjson": {}}}


@router.post("", status_code=201, response_model=answers.Written, openapi_extra=ANY_OBJECT)
def insert(
    session: Writer, collection: CollectionName, body: DocumentBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Add a document; `_id`, `_expires` and `_vectors` in it are understood."""
    new = new_document(body)
    written = session.collection(collection).insert(
        new.value, id=new.id, vectors=new.vectors or None, expires=expiry_of(new), key=session.key()
    )
    place = f"/v1/{session.database}/{quote(collection)}/documents/{quote(written.id)}"
    return _written(written, 201, Location=place)


@router.get("/documents", response_model=answers.Documents)
def page(
    session: Reader,
    collection: CollectionName,
    after: Annotated[int, Query(ge=0, le=2**62, description="The `next` of the answer before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    newest: Annotated[bool, Query(description="The last that was inserted comes first.")] = False,
) -> Response:
    """Some documents, in the order in which they were inserted."""
    find(session, collection)
    documents, behind = session.db.read(partial(read_part, session.db, collection, after, limit, newest))
    return answer({"documents": list(map(document_json, documents)), "next": behind or None})


@router.get(
    "/documents/{id:path}",
    response_model=answers.Document,
    responses={304: {"description": "It still has the revision of If-None-Match"}},
)
def get(session: Reader, collection: CollectionName, id: Id, request: Request) -> Response:
    """A document; with `If-None-Match`, only if it has another revision."""
    document = session.collection(collection).get(id)
    if document is None:
        find(session, collection)
        raise NotFoundError(f"there is no document {id!r} in {collection!r}")
    tag = etag(document.revision)
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return answer(document_json(document), ETag=tag)


@router.put(
    "/documents/{id:path}",
    response_model=answers.Written,
    openapi_extra=ANY_OBJECT,
    responses={201: {"description": "Created", "model": answers.Written}},
)
def put(
    session: Writer,
    collection: CollectionName,
    id: Id,
    body: DocumentBody,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store a document under an id: a new one (only, with `If-None-Match: *`), or in the place of another."""
    new, into = new_document(body, id=id), session.collection(collection)
    revision, key = revision_of(if_match), session.key()
    only_new = session.request.headers.get("if-none-match")
    if only_new not in (None, "*"):
        raise RequestError(400, f"If-None-Match: {only_new} is not understood here", hint="* for a new document")
    vectors, expires = new.vectors or None, expiry_of(new)
    if only_new is not None:
        written = into.insert(new.value, id=id, vectors=vectors, expires=expires, key=key)
        return _written(written, 201)
    if revision is not None:
        try:
            written = into.replace(id, new.value, revision=revision, vectors=vectors, expires=expires, key=key)
        except NotFoundError as error:
            # Without the precondition it would have been made (RFC 9110, section 13.1.1).
            raise RequestError(412, error.message, hint=error.hint) from None
        return _written(written)
    written = into.upsert(id, new.value, vectors=vectors, expires=expires, key=key)
    return _written(written, 201 if written.created else 200)


@router.patch("/documents/{id:path}", response_model=answers.Written, openapi_extra=ANY_OBJECT)
def patch(
    session: Writer,
    collection: CollectionName,
    id: Id,
    body: DocumentBody,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Change some fields, by the rules of JSON Merge Patch (RFC 7396): null removes one."""
    new = new_document(body, id=id)
    written = session.collection(collection).patch(
        id,
        new.value,
        revision=revision_of(if_match),
        vectors=new.vectors or None,
        expires=expiry_of(new),
        key=session.key(),
    )
    return _written(written)


@router.delete("/documents/{id:path}", response_model=answers.Written)
def delete(
    session: Writer,
    collection: CollectionName,
    id: Id,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Remove a document."""
    written = session.collection(collection).delete(id, revision=revision_of(if_match), key=session.key())
    return answer({"_id": written.id, "_rev": written.revision})


@router.post("/_bulk", response_model=answers.Stored, openapi_extra={"requestBody": _LINES})
async def bulk(session: Writer, collection: CollectionName, idempotency_key: IdempotencyKey = None) -> Response:
    """Add documents from lines of JSON, as they come.

    Five hundred are stored at once. At an error those before stay stored, and the answer says how many; repeated
    under the same idempotency key it goes on from there.
    """
    into, key = session.collection(collection), session.key()
    done = part = number = 0
    lines: list[str] = []

    async def store() -> None:
        nonlocal done, part
        # import_lines counts lines from 1; here others came before.
        before = number - len(lines)
        text, name = list(lines), None if key is None else f"{key}/{part}"
        lines.clear()
        try:
            done += await run_in_threadpool(import_lines, into, text, key=name)
        except InvalidDocumentError as error:
            raise _renumbered(error, before) from None
        part += 1

    try:
        async for line in _lines(session):
            number += 1
            lines.append(line)
            if len(lines) == _AT_ONCE:
                await store()
        if lines:
            await store()
    except TissuError as error:
        body = error_body(error, session.request.state.request_id, stored=done)
        return Response(body, status_of(error), media_type="application/json")
    return answer({"stored": done})


@router.get("/_export", responses={200: _LINES | {"description": "A document in each line"}})
def export(session: Reader, collection: CollectionName) -> Response:
    """All documents as lines of JSON, with ids and vectors, as `_bulk` takes them."""
    find(session, collection)

    def lines() -> Iterator[bytes]:
        for line in export_lines(session.collection(collection)):
            yield line.encode() + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def _written(written: Written, status: int = 200, **headers: str) -> Response:
    body = {"_id": written.id, "_rev": written.revision}
    return answer(body, status, ETag=etag(written.revision), **headers)


async def _lines(session: Session) -> Any:
    """Lines of the body, of limited length."""
    limit, rest = session.server.settings.max_line, b""
    async for chunk in session.request.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield _text(line, limit)
        if len(rest) > limit:
            raise _too_long(limit)
    if rest:
        yield _text(rest, limit)


def _text(line: bytes, limit: int) -> str:
    if len(line) > limit:
        raise _too_long(limit)
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise InvalidDocumentError(f"a line is not UTF-8 text: {error.reason}") from None


def _too_long(limit: int) -> RequestError:
    return RequestError(413, f"a line has more than {limit:,} bytes", hint="end each document with a line feed")


def _renumbered(error: InvalidDocumentError, before: int) -> InvalidDocumentError:
    head, _, rest = error.message.partition(":")
    word, _, number = head.partition(" ")
    message = f"line {int(number) + before}:{rest}" if word == "line" and number.isdigit() else error.message
    return InvalidDocumentError(message, path=error.path, hint=error.hint)
