"""Tokens of a server's clients: random, kept as hashes in a file, with a role for each database."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from quanta_tissu.errors import ConflictError, DatabaseError, NotFoundError

Role = Literal["reader", "writer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may, and more."""

EVERY = "*"
"""As the name of a database: all of them."""

_PREFIX = "tissu"


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token.

    Attributes:
        id: Its public part.
        name: Whose it is; the log calls the client so.
        hash: SHA-256 of the whole token. It has 256 random bits, so nobody can guess it from its hash.
        grants: Roles by name of the database, or `*`.
        created: When, in seconds since 1970.
        expires: From when on it is refused, if ever.
    """

    id: str
    name: str
    hash: str
    grants: dict[str, Role]
    created: float
    expires: float | None = None

    def allows(self, database: str, role: Role) -> bool:
        """Whether it may act in a role."""
        found = self.grants.get(database, self.grants.get(EVERY))
        return found is not None and ROLES.index(found) >= ROLES.index(role)


class TokenFile:
    """Tokens in a file of JSON, which is read again when it has changed: a revoked token ends at once.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}

    def add(self, name: str, grants: Mapping[str, Role], *, lifetime: float | None = None) -> str:
        """Make a token.

        Args:
            name: Whose it is; unique in the file.
            grants: Roles by name of the database, or `*`.
            lifetime: Seconds for which it holds; by default until it is revoked.

        Returns:
            The token, which nobody can see again.

        Raises:
            ConflictError: The name is taken.
            DatabaseError: The name, a role or the time is none, or the file cannot be written.
        """
        if not name.isprintable() or not 0 < len(name) <= 100:
            raise DatabaseError(f"{name!r} is no name for a token", hint="1 to 100 characters that can be printed")
        if not grants:
            raise DatabaseError("a token without any role can do nothing", hint="grant one: notes=reader")
        for database, role in grants.items():
            if role not in ROLES:
                raise DatabaseError(f"{role!r} for {database!r} is no role", hint=f"one of {', '.join(ROLES)}")
        if lifetime is not None and not lifetime > 0:
            raise DatabaseError(f"a token cannot hold for {lifetime} seconds", hint="more than 0")
        id = secrets.token_hex(6)
        text = f"{_PREFIX}_{id}_{secrets.token_urlsafe(32)}"
        now = time.time()
        expires = None if lifetime is None else now + lifetime
        with self._alone():
            known = self._known() if self._path.exists() else {}
            if any(token.name == name for token in known.values()):
                raise ConflictError(
                    f"there is a token named {name!r}", hint="revoke it first, or choose another name"
                )
            self._store(known | {id: Token(id, name, _hash(text), dict(grants), now, expires)})
        return text

    def revoke(self, name: str) -> None:
        """Refuse a token from now on.

        Raises:
            NotFoundError: There is none of this name.
        """
        with self._alone():
            known = self._known()
            rest = {id: token for id, token in known.items() if token.name != name}
            if len(rest) == len(known):
                names = ", ".join(token.name for token in known.values()) or "none"
                raise NotFoundError(f"there is no token named {name!r}", hint=f"tokens: {names}")
            self._store(rest)

    def tokens(self) -> list[Token]:
        """All tokens, the oldest first."""
        return sorted(self._known().values(), key=lambda token: token.created)

    def find(self, text: str) -> Token | None:
        """The token that a client shows, None if it is none, revoked or expired."""
        prefix, _, rest = text.partition("_")
        token = self._known().get(rest.partition("_")[0]) if prefix == _PREFIX else None
        if token is None or not hmac.compare_digest(token.hash, _hash(text)):
            return None
        return None if token.expires is not None and token.expires <= time.time() else token

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from changing the file meanwhile: what one of them revokes must stay so."""
        try:
            folder = os.open(self._path.parent, os.O_RDONLY)
        except OSError as error:
            raise DatabaseError(
                f"the file of tokens {self._path} cannot be written: {error.strerror}",
                hint="is its folder there?",
            ) from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _known(self) -> dict[str, Token]:
        with self._lock:
            try:
                status = self._path.stat()
                seen = (status.st_mtime_ns, status.st_size, status.st_ino)
                if seen != self._seen:
                    listed = json.loads(self._path.read_text(encoding="utf-8"))["tokens"]
                    self._tokens = {one["id"]: _checked(one) for one in listed}
                    self._seen = seen
            except OSError as error:
                raise DatabaseError(
                    f"the file of tokens {self._path} cannot be read: {error.strerror}",
                    hint="`tissu db token add` makes one",
                ) from None
            except (ValueError, KeyError, TypeError) as error:
                raise DatabaseError(
                    f"{self._path} is no file of tokens ({type(error).__name__}: {error})",
                    hint="name another one: `tissu db token add` makes it",
                ) from None
            return self._tokens

    def _store(self, tokens: Mapping[str, Token]) -> None:
        partial = self._path.with_name(f".{self._path.name}.partial")
        text = json.dumps({"tokens": [asdict(token) for token in tokens.values()]}, indent=1)
        try:
            partial.unlink(missing_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        except OSError as error:
            raise DatabaseError(
                f"the file of tokens {self._path} cannot be written: {error.strerror}",
                hint="check its folder and the room on the disk",
            ) from None


def _checked(one: Any) -> Token:
    """A token of the file, which people may have edited.

    Raises:
        ValueError: It is none.
    """
    match one:
        case {"id": str(), "name": str(), "hash": str(), "grants": dict(grants), "created": int() | float()}:
            expires = one.get("expires")
            if all(role in ROLES for role in grants.values()) and isinstance(expires, int | float | None):
                return Token(**one)
    raise ValueError(f"not a token: {json.dumps(one)[:100]}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
