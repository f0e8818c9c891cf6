"""Secrets by name: passwords and keys that a run uses and that no record holds.

They are kept in a file of the user's that nobody else can read, plain or encrypted with a passphrase, and may also
come from the environment: `TISSU_SECRET_<NAME>`, which comes first. A plain file is JSON; an encrypted one is a
database of TissDB.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from quanta_tissu.errors import DatabaseError, SecretError
from quanta_tissu.tisslang.journal.redaction import SHORTEST

PREFIX = "TISSU_SECRET_"
"""Before the name of a secret in the environment."""

PASSPHRASE = "TISSU_SECRETS_PASSPHRASE"
"""The variable that opens an encrypted store where nobody can be asked."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_COLLECTION = "secrets"


def default_path() -> Path:
    """Where a user's secrets are: `$XDG_DATA_HOME/tissu/secrets`, by default in `~/.local/share`."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "share") / "tissu" / "secrets"


def check_name(name: str) -> None:
    """Accept the name of a secret.

    Raises:
        SecretError: It is none.
    """
    if not _NAME.fullmatch(name):
        raise SecretError(
            f"{name!r} cannot be the name of a secret",
            hint="names are capitals, digits and underscores, and begin with a letter: GITHUB_TOKEN",
        )


class SecretStore:
    """A user's secrets.

    Args:
        path: The file; missing if there are none yet. None takes the user's own.
        passphrase: Opens an encrypted file, and encrypts a new one; None takes `TISSU_SECRETS_PASSPHRASE`.
        environment: Where variables are looked up; None takes the process's.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        passphrase: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path or default_path()
        self._environment = os.environ if environment is None else environment
        self._passphrase = passphrase or self._environment.get(PASSPHRASE)

    def is_encrypted(self) -> bool:
        """Whether the file is there and is encrypted.

        Raises:
            SecretError: It cannot be read.
        """
        content = self._content()
        return bool(content) and _plain(content) is None

    def names(self) -> dict[str, str]:
        """Name → where it comes from: `file` or `environment`; in alphabetical order.

        Raises:
            SecretError: The file cannot be read.
        """
        found = dict.fromkeys(self._kept(), "file") | dict.fromkeys(self._exported(), "environment")
        return dict(sorted(found.items()))

    def all(self) -> dict[str, str]:
        """Name → value, of both sources; what `Redactor` hides.

        Raises:
            SecretError: The file cannot be read, or a value in the environment cannot be a secret.
        """
        exported = self._exported()
        for name, value in exported.items():
            _check_value(f"{PREFIX}{name}", value)
        return self._kept() | exported

    def get(self, name: str) -> str:
        """The value of a secret.

        Raises:
            SecretError: There is none of this name, or the file cannot be read.
        """
        check_name(name)
        try:
            return self.all()[name]
        except KeyError:
            raise SecretError(
                f"there is no secret {name}", hint=f"`tissu secret set {name}` keeps one, or export {PREFIX}{name}"
            ) from None

    def set(self, name: str, value: str) -> None:
        """Keep a secret, or give it another value.

        Raises:
            SecretError: It is no name, the value is too short to be hidden in texts, or it cannot be written.
        """
        check_name(name)
        _check_value(name, value)
        self._keep(self._kept() | {name: value})

    def remove(self, name: str) -> None:
        """Forget a secret.

        Raises:
            SecretError: The file has none of this name, or cannot be written.
        """
        check_name(name)
        kept = self._kept()
        if name not in kept:
            where = f"; {PREFIX}{name} is in the environment" if name in self._exported() else ""
            raise SecretError(f"no secret {name} is kept{where}", hint="`tissu secret list` shows all")
        del kept[name]
        self._keep(kept)

    def encrypt(self) -> None:
        """Encrypt a plain file with the passphrase. What the disk held before may still be found on it.

        Raises:
            SecretError: It is encrypted already, or there is no passphrase.
        """
        if self.is_encrypted():
            raise SecretError(f"{self.path} is encrypted already")
        self._write_encrypted(self._kept())

    def _exported(self) -> dict[str, str]:
        return {
            name: value
            for variable, value in self._environment.items()
            if variable.startswith(PREFIX) and _NAME.fullmatch(name := variable.removeprefix(PREFIX))
        }

    def _content(self) -> bytes:
        """What the file holds; nothing if there is none."""
        try:
            status = os.stat(self.path)
            content = self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise SecretError(
                f"{self.path} cannot be read: {error.strerror}",
                hint="secrets are kept by the user who runs scripts",
            ) from error
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise SecretError(
                f"others may read {self.path}, where secrets are kept",
                hint=f"chmod 600 {self.path}, and change the secrets if somebody has read it",
            )
        return content

    def _kept(self) -> dict[str, str]:
        content = self._content()
        if not content:
            return {}
        plain = _plain(content)
        return self._decrypted() if plain is None else plain

    def _keep(self, secrets: Mapping[str, str]) -> None:
        content = self._content()
        if content and _plain(content) is not None:
            if self._passphrase:
                raise SecretError(
                    f"{self.path} is not encrypted, and there is a passphrase",
                    hint=f"`tissu secret encrypt` encrypts it; without {PASSPHRASE} it stays plain",
                )
            self._replace(json.dumps(secrets, indent=1, sort_keys=True).encode())
        elif content or self._passphrase:
            self._write_encrypted(secrets)
        else:
            self._replace(json.dumps(secrets, indent=1, sort_keys=True).encode())

    def _replace(self, content: bytes) -> None:
        """Written beside and renamed, so that no reader sees half of it; private from its first byte on."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".secrets.")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, self.path)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            raise SecretError(
                f"{self.path} cannot be written: {error.strerror}", hint="check the folder's permissions"
            ) from error

    def _given(self) -> str:
        if not self._passphrase:
            raise SecretError(
                f"{self.path} is encrypted, and there is no passphrase",
                hint=f"set {PASSPHRASE}, or run this in a terminal, where it is asked for",
            )
        return self._passphrase

    def _decrypted(self) -> dict[str, str]:
        from quanta_tissu import tissdb

        passphrase = self._given()
        try:
            with tissdb.open(self.path, passphrase=passphrase) as db:
                document = db[_COLLECTION].get(_COLLECTION)
        except DatabaseError as error:
            raise SecretError(
                f"{self.path} cannot be opened: the passphrase is wrong, or it is no store of secrets",
                hint="TissDB says: " + error.message,
            ) from error
        return dict(document["values"]) if document is not None else {}

    def _write_encrypted(self, secrets: Mapping[str, str]) -> None:
        from quanta_tissu import tissdb

        passphrase = self._given()
        if not self.is_encrypted():
            # Made beside, so that a plain file is there until the encrypted one is whole.
            with tempfile.TemporaryDirectory(prefix="tissu-secrets-", dir=_folder(self.path)) as folder:
                made = SecretStore(Path(folder) / "secrets", passphrase=passphrase, environment={})
                os.close(os.open(made.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                with tissdb.open(made.path, passphrase=passphrase) as db:
                    db[_COLLECTION].upsert(_COLLECTION, {"values": dict(secrets)})
                self._replace(made.path.read_bytes())
            return
        try:
            with tissdb.open(self.path, passphrase=passphrase) as db:
                db[_COLLECTION].upsert(_COLLECTION, {"values": dict(secrets)})
        except DatabaseError as error:
            raise SecretError(f"{self.path} cannot be written: {error.message}", hint=error.hint) from error


def _plain(content: bytes) -> dict[str, str] | None:
    """The secrets of a plain file; None if it is something else."""
    try:
        secrets = json.loads(content)
    except ValueError:
        return None
    ours = isinstance(secrets, dict) and all(isinstance(value, str) for value in secrets.values())
    return secrets if ours else None


def _folder(path: Path) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path.parent


def _check_value(name: str, value: str) -> None:
    if len(value) < SHORTEST:
        raise SecretError(
            f"the value of {name} is {len(value)} characters long, too short to be hidden in what a run writes",
            hint=f"secrets have {SHORTEST} characters or more",
        )
    if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        raise SecretError(
            f"the value of {name} is no text: no command could get it, nor could it be hidden in texts",
            hint="keep it as base64: base64 -w0 FILE | tissu secret set NAME",
        )
