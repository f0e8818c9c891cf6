"""Who asks, and whether they may: tokens, roles, rates, and the database that a request is about."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import numpy as np
from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from numpy.typing import NDArray

from quanta_tissu.errors import TissuError
from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.database import Database
from quanta_tissu.tissdb.server.databases import Databases
from quanta_tissu.tissdb.server.failures import RequestError
from quanta_tissu.tissdb.server.heads import Heads
from quanta_tissu.tissdb.server.limits import RateLimit
from quanta_tissu.tissdb.server.metrics import Metrics
from quanta_tissu.tissdb.server.settings import Settings
from quanta_tissu.tissdb.server.tokens import EVERY, Role, Token, TokenFile
from quanta_tissu.tissdb.server.transactions import Transactions

LOCAL = Token("local", "local", "", {EVERY: "admin"}, 0.0)
"""Everybody, on a server without tokens."""

_LONGEST_KEY = 200

# Tells the OpenAPI document of tokens; `_shown` reads them.
_Bearer = Annotated[
    HTTPAuthorizationCredentials | None,
    Security(HTTPBearer(auto_error=False, description="A token of `tissu db token add`.")),
]


class Encoder(Protocol):
    """Makes vectors of texts."""

    @property
    def name(self) -> str:
        """What people call it."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A vector of each text."""


@dataclass(slots=True)
class Server:
    """What requests share.

    Attributes:
        databases: The databases.
        settings: How the server behaves.
        tokens: Who may ask, None if everybody may.
        rates: How often each may.
        metrics: What is counted.
        transactions: Those that are open.
        heads: The ends of the databases' logs.
        encoder: Makes vectors of texts, None if the server has none.
        began: When it began, by the monotonic clock.
    """

    databases: Databases
    settings: Settings
    tokens: TokenFile | None
    rates: RateLimit
    metrics: Metrics = field(default_factory=Metrics)
    transactions: Transactions = field(init=False)
    heads: Heads = field(default_factory=Heads)
    encoder: Encoder | None = None
    began: float = field(default_factory=time.monotonic)
    _encoding: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.transactions = Transactions(self.settings)

    def vector_of(self, text: str) -> NDArray[np.float32]:
        """The vector of a text; one is made at a time, on all cores.

        Raises:
            RequestError: The server has no encoder.
        """
        if self.encoder is None:
            raise RequestError(
                501, "this server has no encoder of texts", hint="`tissu db serve --embedder`, or give a vector"
            )
        with self._encoding:
            made: NDArray[np.float32] = self.encoder.embed([text])[0]
        return made


@dataclass(frozen=True, slots=True)
class Session:
    """One request of somebody who may.

    Attributes:
        server: What requests share.
        db: The database, on behalf of the client.
        database: Its name.
        token: The client.
        request: The request.
    """

    server: Server
    db: Database
    database: str
    token: Token
    request: Request

    def collection(self, name: str) -> Collection:
        """A collection, on behalf of the client."""
        return self.db.collection(name)

    def key(self) -> str | None:
        """The idempotency key, which is the client's own and that of this address, None if there is none.

        Raises:
            RequestError: It is empty or too long.
        """
        given = self.request.headers.get("idempotency-key")
        if given is None:
            return None
        if not 0 < len(given) <= _LONGEST_KEY:
            raise RequestError(400, "Idempotency-Key is empty or too long", hint=f"1 to {_LONGEST_KEY} characters")
        return self.key_for(f"{self.request.method} {self.request.url.path} {given}")

    def key_for(self, what: str) -> str:
        """A key for something that this client does."""
        return f"http/{self.token.id}/{hashlib.sha256(what.encode()).hexdigest()}"

    def require(self, role: Role, action: str, collection: str | None = None) -> None:
        """See that the client has a role; a refusal goes to the database's log.

        Raises:
            RequestError: It has not.
        """
        if not self.token.allows(self.database, role):
            self.db.log_refusal(action, collection=collection, why=f"needs the role {role}")
            raise _forbidden(self.token, self.database, role)


def server_of(request: Request) -> Server:
    """What requests share."""
    server: Server = request.app.state.server
    return server


def client(request: Request, shown: _Bearer = None) -> Token:
    """Who asks.

    Raises:
        RequestError: Nobody known, or too often.
    """
    server = server_of(request)
    token = LOCAL if server.tokens is None else _shown(request, server.tokens)
    wait = server.rates.wait(token.id if token else f"address {request.client.host if request.client else ''}")
    if wait:
        raise RequestError(
            429,
            "too many requests",
            hint=f"try again in {wait:.2f} s",
            headers={"Retry-After": str(math.ceil(wait))},
        )
    if token is None:
        raise RequestError(
            401,
            "the request shows no token that is known",
            hint="Authorization: Bearer TOKEN; `tissu db token add` makes tokens",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return token


def needs(role: Role) -> Callable[[Request, str], Session]:
    """A dependency of endpoints: a session of a client that has a role in the database of the path."""

    def dependency(request: Request, database: str, shown: _Bearer = None) -> Session:
        token, server = client(request), server_of(request)
        if not token.allows(database, role):
            _log_refusal(request, server, token, database, role)
            raise _forbidden(token, database, role)
        return Session(server, server.databases.get(database).as_actor(token.name), database, token, request)

    return dependency


def _shown(request: Request, tokens: TokenFile) -> Token | None:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return tokens.find(text.strip()) if scheme.lower() == "bearer" else None


def _forbidden(token: Token, database: str, role: Role) -> RequestError:
    return RequestError(
        403,
        f"{token.name} is no {role} of {database}",
        hint=f"`tissu db token add` grants roles: {database}={role}",
    )


def _log_refusal(request: Request, server: Server, token: Token, database: str, role: Role) -> None:
    """Note in a database that somebody wanted to do what they may not; others do not learn whether it is there."""
    try:
        db = server.databases.get(database)
    except TissuError:
        return
    parameters = request.path_params
    db.as_actor(token.name).log_refusal(
        f"{request.method} {request.scope['route'].path}",
        collection=parameters.get("collection"),
        id=parameters.get("id"),
        why=f"needs the role {role}",
    )
