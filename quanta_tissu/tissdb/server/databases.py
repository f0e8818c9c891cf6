"""The databases that a server has: one, or those of a folder."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from quanta_tissu import tissdb
from quanta_tissu.errors import DatabaseError, NotFoundError
from quanta_tissu.tissdb.database import Database
from quanta_tissu.tissdb.sqlite.protection import Secret

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class Databases:
    """Opens databases when they are first asked for, and keeps them open.

    Args:
        place: A folder, whose databases are its files `*.db`; a file; or an address, whose database is called as
            its schema.
        secret: Key or passphrase of its files, if they are encrypted.
        timeout: Seconds that reads may take; None for any time.

    Raises:
        NotFoundError: It is not there.
    """

    def __init__(self, place: str, secret: Secret | None = None, *, timeout: float | None = None) -> None:
        self._timeout = timeout
        self._secret = secret
        self._lock = threading.Lock()
        self._opened: dict[str, Database] = {}
        self._folder: Path | None = None
        self._single: dict[str, str] = {}
        if "://" in place:
            schema = parse_qs(urlsplit(place).query).get("schema", ["tissdb"])[0]
            self._single = {schema: place}
        elif Path(place).is_dir():
            self._folder = Path(place)
        elif Path(place).is_file():
            self._single = {Path(place).stem: place}
        else:
            raise NotFoundError(
                f"there is no folder and no database {place}", hint=f"`tissu db create {place}` makes a database"
            )

    def names(self) -> list[str]:
        """Names of all databases."""
        if self._folder is None:
            return list(self._single)
        return sorted(path.stem for path in self._folder.glob("*.db") if _NAME.fullmatch(path.stem))

    def get(self, name: str) -> Database:
        """A database.

        Raises:
            NotFoundError: There is none of this name.
        """
        found = self._opened.get(name)
        if found is not None:
            return found
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._open(self._address(name))
            return self._opened[name]

    def create(self, name: str) -> Database:
        """Make a database in the folder, or see that it is there.

        Raises:
            DatabaseError: The name is none, or there is no folder.
        """
        if self._folder is None:
            raise DatabaseError("this server has one database", hint="serve a folder to have several")
        if not _NAME.fullmatch(name):
            raise DatabaseError(
                f"{name!r} is no name for a database", hint="letters, digits, _ and -, at most 100, no _ in front"
            )
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._open(str(self._folder / f"{name}.db"))
            return self._opened[name]

    def opened(self) -> dict[str, Database]:
        """Those that are open."""
        return dict(self._opened)

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            while self._opened:
                self._opened.popitem()[1].close()

    def _open(self, address: str) -> Database:
        if self._secret is None:
            return tissdb.open(address, timeout=self._timeout)
        return tissdb.open(
            address, timeout=self._timeout, key=self._secret.key, passphrase=self._secret.passphrase
        )

    def _address(self, name: str) -> str:
        if self._folder is not None and _NAME.fullmatch(name):
            path = self._folder / f"{name}.db"
            if path.is_file():
                return str(path)
        elif name in self._single:
            return self._single[name]
        raise NotFoundError(f"there is no database {name!r}")
