"""`_changes`: what has happened since a number, or as it happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from quanta_tissu.tissdb.database import Database
from quanta_tissu.tissdb.server import answers
from quanta_tissu.tissdb.server.access import Session
from quanta_tissu.tissdb.server.heads import POLL
from quanta_tissu.tissdb.server.routes.common import Reader, answer
from quanta_tissu.tissdb.server.wire import change_json, json_bytes

router = APIRouter(prefix="/v1/{database}", tags=["changes"])

_HEARTBEAT = 10.0


@router.get(
    "/_changes", response_model=answers.Changes, responses={200: {"content": {"application/x-ndjson": {}}}}
)
async def changes(
    session: Reader,
    request: Request,
    since: Annotated[
        int | None, Query(ge=0, le=2**62, description="The last number seen; by default now.")
    ] = None,
    collection: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    timeout: Annotated[float, Query(ge=0, description="Seconds to wait for a change.")] = 0.0,
) -> Response:
    """Changes after a number, as soon as there are any; `next` is the number to ask with the next time.

    With `Accept: application/x-ndjson` a line for each, as they come, until the time is over; a line with nothing
    in it only shows that the connection lives.
    """
    timeout = min(timeout, session.server.settings.max_wait)
    seen: int = (await run_in_threadpool(session.db.head)).seq if since is None else since
    if "application/x-ndjson" in request.headers.get("accept", ""):
        lines = _stream(session, seen, collection, timeout)
        return StreamingResponse(lines, media_type="application/x-ndjson")
    deadline = time.monotonic() + timeout
    while True:
        found, seen = await run_in_threadpool(_page, session.db, seen, collection, limit)
        if found or not await _changed(session, seen, deadline):
            return answer({"changes": found, "next": seen})


async def _stream(session: Session, since: int, collection: str | None, timeout: float) -> AsyncIterator[bytes]:
    deadline = time.monotonic() + timeout
    while True:
        found, since = await run_in_threadpool(_page, session.db, since, collection, 1000)
        for change in found:
            yield json_bytes(change) + b"\n"
        beat = min(deadline, time.monotonic() + _HEARTBEAT)
        if not await _changed(session, since, beat):
            if time.monotonic() >= deadline:
                return
            yield b"\n"


def _page(db: Database, since: int, collection: str | None, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Changes after a number, and the last number that was looked at."""
    entries = list(islice(db.log(since), limit))
    found = [change_json(one) for one in entries if one.ok and collection in (None, one.collection)]
    return found, entries[-1].seq if entries else since


async def _changed(session: Session, since: int, deadline: float) -> bool:
    """Wait until the log goes beyond a number; whether it does."""
    while True:
        if await session.server.heads.seq(session.database, session.db) > since:
            return True
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        await asyncio.sleep(min(POLL, left))
