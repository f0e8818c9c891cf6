"""What stands between SQLite and its file: a checksum on every page, or a cipher that authenticates every page.

Either way a page of the file that is not what was written is an error when it is read, and never an answer. The
checksums are those of SQLite's own `cksumvfs`: eight bytes at the end of a page, in the file but not in its
write-ahead log. The cipher is ChaCha20-Poly1305 of SQLite3 Multiple Ciphers: sixteen bytes of nonce and sixteen of
tag at the end of a page, in the file and in its log. Nothing is encrypted here: this module names layers and
derives one key.
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from quanta_tissu.errors import DatabaseError, StorageError

CHECKSUM_BYTES = 8
"""At the end of each page of a file that is not encrypted."""

CIPHER = "chacha20"

KEY_BYTES = 32

ITERATIONS = 600_000
"""Of PBKDF2-HMAC-SHA256, from a passphrase to a key; OWASP's figure of 2023."""

_SALT_BYTES = 16
"""With which the file of a database begins."""


@dataclass(frozen=True)
class Secret:
    """What opens an encrypted database: a key, or a passphrase from which one is derived.

    Args:
        key: 32 random bytes.
        passphrase: Any text.

    Raises:
        DatabaseError: It is neither or both, or a key of another length, or an empty passphrase.
    """

    key: bytes | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.key is None) == (self.passphrase is None):
            raise DatabaseError("a database has either a key or a passphrase", hint="give one of them")
        if self.key is not None and len(self.key) != KEY_BYTES:
            raise DatabaseError(
                f"a key of {len(self.key)} bytes is none",
                hint=f"{KEY_BYTES} bytes, as from os.urandom({KEY_BYTES})",
            )
        if self.passphrase == "":
            raise DatabaseError("an empty passphrase protects nothing", hint="give another, or none")

    def for_file(self, path: Path) -> str:
        """The key of one file, as the cipher wants it; a passphrase is salted with the file's beginning.

        A derived key is the one that `PRAGMA kdf_iter = 600000; PRAGMA key = '...'` derives, so that other
        programs with the same cipher can open the file. It is derived here to be derived once, and not again
        for every connection.
        """
        try:
            with path.open("rb") as file:
                salt = file.read(_SALT_BYTES)
        except FileNotFoundError:
            salt = b""
        except OSError as error:
            raise unreadable(path, error) from None
        return self._salted(salt) if len(salt) == _SALT_BYTES else self.for_new_file()

    def for_new_file(self) -> str:
        """The key of a file that is to be made."""
        return self._salted(os.urandom(_SALT_BYTES))

    def _salted(self, salt: bytes) -> str:
        key = self.key or hashlib.pbkdf2_hmac(
            "sha256", (self.passphrase or "").encode(), salt, ITERATIONS, KEY_BYTES
        )
        return f"raw:{key.hex()}{salt.hex()}"


def unreadable(path: Path, error: OSError) -> StorageError:
    """What to say of a file that the system does not open."""
    return StorageError(
        f"{path} cannot be read: {error.strerror}", hint="check its permissions and those of its folder"
    )


@functools.cache
def checksum_layer() -> str:
    """The file layer that writes and verifies checksums of pages; it becomes SQLite's layer in this process.

    Raises:
        DatabaseError: This build of SQLite does not have it.
    """
    from apsw import sqlite_extra

    connection = apsw.Connection(":memory:")
    try:
        sqlite_extra.load(connection, "cksumvfs")
    except (sqlite_extra.NotAvailable, LookupError, apsw.Error) as error:
        raise DatabaseError(
            f"this build of SQLite cannot verify checksums of pages ({error})",
            hint="install the wheel of apsw-sqlite3mc: pip install --only-binary :all: apsw-sqlite3mc",
        ) from None
    finally:
        connection.close()
    return "cksmvfs"


def require_cipher() -> None:
    """See that SQLite was built with ciphers.

    Raises:
        DatabaseError: It was not: another package has put its own SQLite in the place of ours.
    """
    if not hasattr(apsw, "mc_version"):
        raise DatabaseError(
            "this SQLite cannot encrypt: the packages apsw and apsw-sqlite3mc have the same module",
            hint="pip uninstall -y apsw apsw-sqlite3mc && pip install apsw-sqlite3mc, which serves both",
        )


def cipher_layer(layer: str | None = None) -> str:
    """The file layer that encrypts pages.

    Args:
        layer: On top of which it stands; by default the system's.

    Raises:
        DatabaseError: This SQLite cannot encrypt.
    """
    require_cipher()
    return f"multipleciphers-{layer or ('win32' if os.name == 'nt' else 'unix')}"
