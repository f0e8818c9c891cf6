"""What happens to every request: its id, its size, its place in the metrics, and errors that nobody expected."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from quanta_tissu.errors import TissuError
from quanta_tissu.tissdb.server.access import Server
from quanta_tissu.tissdb.server.failures import RequestError, error_body, type_of
from quanta_tissu.tissdb.server.logs import REQUEST, log

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Edge:
    """Wraps an application.

    Args:
        app: The application.
        server: What requests share.
    """

    def __init__(self, app: App, server: Server) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", "")
        id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = id
        named = REQUEST.set(id)
        began, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(b"x-request-id", id.encode()), (b"x-content-type-options", b"nosniff")]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        self._server.metrics.begin()
        try:
            self._refuse_strangers(headers)
            await self._app(scope, await self._limited(scope, headers, receive), answer)
        except RequestError as error:
            self._server.metrics.error(type_of(error))
            await _refuse(answer, error, error.status, id)
        except Exception as error:
            log.exception("%s %s failed", scope["method"], scope["path"])
            self._server.metrics.error("unexpected")
            if not status:
                unexpected = TissuError(
                    f"unexpected {type(error).__name__}",
                    hint="this is a bug: please report it with the server's log",
                )
                await _refuse(answer, unexpected, 500, id)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            seconds = time.perf_counter() - began
            self._server.metrics.end(scope["method"], route, status, seconds)
            # The path as it came: nothing in it can begin another line.
            path = scope.get("raw_path", b"").decode("ascii", "replace")
            log.info("%s %s %d %.1f ms", scope["method"], path, status, 1000 * seconds)
            REQUEST.reset(named)

    def _refuse_strangers(self, headers: dict[bytes, str]) -> None:
        """Pages of other sites, which a browser lets send requests to here, are none of our clients."""
        host = headers.get(b"host", "")
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise RequestError(
                403, f"requests of pages of {origin[:100]} are refused", hint="use a client of its own"
            )
        if self._server.tokens is None and urlsplit(f"//{host}").hostname not in _LOOPBACK:
            raise RequestError(403, "without tokens this server answers on this machine only", hint="use --tokens")

    async def _limited(self, scope: Message, headers: dict[bytes, str], receive: Receive) -> Receive:
        """The body of a request, read as far as it may go; that of `_bulk` is read by its endpoint."""
        if scope["path"].endswith("/_bulk"):
            return receive
        limit = self._server.settings.max_body
        length = headers.get(b"content-length", "0")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
            more = message.get("more_body", False)
        body: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def again() -> Message:
            return body.pop() if body else await receive()

        return again


def _too_large(limit: int) -> RequestError:
    return RequestError(
        413,
        f"the request has more than {limit:,} bytes",
        hint="_bulk takes any number of documents",
        headers={"Connection": "close"},
    )


async def _refuse(answer: Send, error: TissuError, status: int, id: str) -> None:
    headers = [(b"content-type", b"application/json")]
    if isinstance(error, RequestError):
        headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    await answer({"type": "http.response.start", "status": status, "headers": headers})
    await answer({"type": "http.response.body", "body": error_body(error, id)})
