"""Servers that take JSON and answer with JSON, or with a stream of it: what every client of them shares.

A request is made again if the server is too busy for it or cannot be reached. The key goes to the address that it
was given for and nowhere else: redirections are refused, not followed, and what a server says never repeats it.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from quanta_tissu.errors import ConfigError, TissuError

_LARGEST_ANSWER = 256 * 2**20
_LARGEST_LINE = 16 * 2**20
_MOST_WAIT = 60.0  # seconds between two tries
_BUSY = (429, 500, 502, 503, 504)
_LOOK = 0.05  # seconds between two looks at whether it was cancelled


class Refusal(Exception):  # noqa: N818 - never leaves the package: clients make an error of it, or ask in another way
    """A server answered with a status that is no success.

    Args:
        code: The status.
        said: What it said, cut, without the key.
        retry_after: Seconds that it asks to wait; None: it does not say.
    """

    def __init__(self, code: int, said: str, retry_after: float | None) -> None:
        super().__init__(f"{code}: {said}")
        self.code = code
        self.said = said
        self.retry_after = retry_after


class Cancelled(Exception):  # noqa: N818 - never leaves the package
    """Whoever asked does not want the answer any more."""


class Endpoint:
    """An address that JSON is sent to, and that answers with JSON.

    Args:
        url: The address.
        key: The API key, if it wants one.
        timeout: Seconds to wait for a sign of life.
        tries: How often a request is made that the server is too busy for (429, 500, 502, 503, 504) or that does
            not reach it.
        error: What is raised if there is no answer.
        does: What the server's model should be able to do, for hints.

    Raises:
        ConfigError: The address is none.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        timeout: float,
        tries: int = 4,
        error: type[TissuError],
        does: str,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"{url!r} is no address of a server", hint="https://api.openai.com/v1, for example")
        if "@" in urlsplit(url).netloc:
            raise ConfigError(
                "the address of a server has a name or password in it", hint="give the key by the environment"
            )
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ConfigError(
                "the key has characters that no key has", hint="is there a line break or a blank at its end?"
            )
        self.url = url
        self._key = key
        self._timeout = timeout
        self._tries = tries
        self._error = error
        self._does = does

    def __repr__(self) -> str:
        return f"<Endpoint {self.url}>"

    def post(self, question: dict[str, Any]) -> Any:
        """Ask, and ask again if the server is busy.

        Raises:
            TissuError: Of the kind that was given: the server refuses, cannot be reached, or answers with what is
                not JSON.
        """
        answer = self._answer(json.dumps(question).encode())
        try:
            return json.loads(answer)
        except ValueError as error:
            raise self.wrong(f"is not what was asked for ({type(error).__name__}: {error})") from None

    def stream(
        self,
        question: dict[str, Any],
        *,
        cancelled: threading.Event | None = None,
        again: Callable[[], bool] = lambda: True,
    ) -> Iterator[Any]:
        """Ask, and yield what comes: the events of a stream, or the one answer of a server that does not stream.

        Args:
            question: The body of the request.
            cancelled: When it is set, the connection is closed.
            again: Asked before the request is made again after the connection broke; False if something of the
                answer was used already.

        Raises:
            TissuError: Of the kind that was given: the server cannot be reached, or answers with what is neither
                JSON nor a stream of it.
            Refusal: It answers with a status that is no success.
            Cancelled: It was cancelled.
        """
        body = json.dumps(question).encode()
        wait = 0.5
        for left in range(self._tries - 1, -1, -1):
            try:
                with self._opened(body, cancelled) as response:
                    yield from self._events(response)
                if cancelled is not None and cancelled.is_set():  # a connection that was shut looks like an end
                    raise Cancelled
                return
            except Refusal as refusal:
                if refusal.code not in _BUSY or not left:
                    raise
                wait = wait if refusal.retry_after is None else refusal.retry_after
            except TissuError:
                if cancelled is not None and cancelled.is_set():  # half an answer is no JSON
                    raise Cancelled from None
                raise
            except (OSError, http.client.HTTPException) as error:
                if cancelled is not None and cancelled.is_set():
                    raise Cancelled from None
                if not left or not again():
                    raise self._unreachable(error) from None
            if rested(wait, cancelled):
                raise Cancelled
            wait = min(2 * wait, _MOST_WAIT)

    def wrong(self, what: str) -> TissuError:
        """What to raise for an answer that is none."""
        return self._error(
            f"the answer of {self.url} {what}",
            hint=f"does the address end in /v1, and does the model {self._does}?",
        )

    def refused(self, refusal: Refusal) -> TissuError:
        """What to raise for a refusal."""
        return self._error(f"{self.url} answered {refusal.code}: {refusal.said}", hint=_hint(refusal.code))

    def _answer(self, body: bytes) -> bytes:
        wait = 0.5
        for left in range(self._tries - 1, -1, -1):
            try:
                with self._opened(body, None) as response:
                    return _whole(response)
            except Refusal as refusal:
                if refusal.code not in _BUSY or not left:
                    raise self.refused(refusal) from None
                wait = wait if refusal.retry_after is None else refusal.retry_after
            except (OSError, http.client.HTTPException) as error:
                if not left:
                    raise self._unreachable(error) from None
            time.sleep(wait)
            wait = min(2 * wait, _MOST_WAIT)
        raise AssertionError("unreachable")

    @contextmanager
    def _opened(self, body: bytes, cancelled: threading.Event | None) -> Iterator[http.client.HTTPResponse]:
        """The answer to a request, while it is read; its connection is shut when `cancelled` is set.

        Raises:
            Refusal: The status is no success.
            OSError: There is no connection, or it broke.
        """
        if cancelled is not None and cancelled.is_set():
            raise Cancelled
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        sockets: list[socket.socket] = []
        handler = _Encrypted(sockets) if self.url.startswith("https:") else _Plain(sockets)
        opener = urllib.request.build_opener(_NoRedirection, handler)
        done = threading.Event()
        watch = threading.Thread(target=_shut_when, args=(cancelled, done, sockets), daemon=True)
        if cancelled is not None:
            watch.start()
        try:
            request = urllib.request.Request(self.url, body, headers)
            with opener.open(request, timeout=self._timeout) as response:
                yield response
        except urllib.error.HTTPError as error:
            raise Refusal(error.code, self._said(error), _retry_after(error.headers)) from None
        finally:
            done.set()
            if cancelled is not None:
                watch.join()

    def _said(self, error: urllib.error.HTTPError) -> str:
        """What a server said with a refusal."""
        if 300 <= error.code < 400:
            return f"what is asked for is at {error.headers.get('Location', 'another address')}"
        said = ""
        with suppress(OSError, http.client.HTTPException):
            said = error.read(500).decode(errors="replace")
        return said.replace(self._key, "(the key)") if self._key else said

    def _events(self, response: http.client.HTTPResponse) -> Iterator[Any]:
        """JSON of the events of a stream (WHATWG HTML, 9.2: server-sent events), or the whole answer."""
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            yield self._read_json(_whole(response))
            return
        data: list[bytes] = []
        while line := response.readline(_LARGEST_LINE):
            line = line.rstrip(b"\r\n")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:  # an empty line ends an event; other fields and comments say nothing here
                event = b"\n".join(data)
                data = []
                if event == b"[DONE]":
                    return
                yield self._read_json(event)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)

    def _read_json(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise self.wrong(f"is not what was asked for ({type(error).__name__}: {error})") from None

    def _unreachable(self, error: Exception) -> TissuError:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        return self._error(
            f"cannot reach {self.url}: {reason}", hint="is the server running, and the address right?"
        )


def rested(seconds: float, cancelled: threading.Event | None) -> bool:
    """Wait, and say whether it was cancelled meanwhile.

    It is asked again and again: an event that is also set when a time is over does not wake who waits for it.
    """
    until = time.monotonic() + seconds
    while cancelled is None or not cancelled.is_set():
        left = until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(left if cancelled is None else min(left, _LOOK))
    return True


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """Another address would get the key, too."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


class _Plain(urllib.request.HTTPHandler):
    """Remembers the sockets of its connections, so that they can be shut from another thread."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        sockets = self._sockets

        class Connection(http.client.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                sockets.append(self.sock)

        return self.do_open(Connection, req)


class _Encrypted(urllib.request.HTTPSHandler):
    """The same with TLS."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(context=self._tls)
        self._sockets = sockets

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        sockets = self._sockets

        class Connection(http.client.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                sockets.append(self.sock)

        return self.do_open(Connection, req, context=self._tls)


def _shut_when(cancelled: threading.Event, done: threading.Event, sockets: list[socket.socket]) -> None:
    """Shut the sockets when it is cancelled, so that who reads from them wakes up; end when it is done."""
    while not done.wait(_LOOK):
        if cancelled.is_set():
            for one in list(sockets):
                with suppress(OSError):
                    # Not TLS's own shutdown, which another thread must not call while one reads.
                    socket.socket.shutdown(one, socket.SHUT_RDWR)


def _whole(response: http.client.HTTPResponse) -> bytes:
    """All of an answer.

    Raises:
        IncompleteRead: The connection ended before it did.
    """
    data = response.read(_LARGEST_ANSWER)
    if response.length and len(data) < _LARGEST_ANSWER:
        raise http.client.IncompleteRead(data, response.length)
    return data


def _retry_after(headers: Any) -> float | None:
    """Seconds that the server asks to wait."""
    try:
        return min(_MOST_WAIT, max(0.0, float(headers.get("Retry-After"))))
    except (TypeError, ValueError):
        return None


def _hint(code: int) -> str:
    return {
        401: "give the API key that belongs to this server",
        403: "give the API key that belongs to this server",
        404: "the address should end in /v1, and the model be one that the server has",
        429: "the server's limit is reached; try again later",
    }.get(code, "give the address that it names" if 300 <= code < 400 else "the server's own log may say why")
