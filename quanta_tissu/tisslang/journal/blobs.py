"""Blobs: contents that are kept once each, under the name of their digest."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quanta_tissu.errors import JournalError

LONGEST_TEXT = 200
"""Characters of a text that stays in its record; a longer one becomes a blob."""

SUFFIX = "_blob"
"""Behind the name of a text that is a blob: `stdout_blob` holds the reference of what `stdout` was."""

_LIKE_A_BLOB = re.compile(rf"(^|{SUFFIX})~*\Z")
_REFERENCE = re.compile(r"sha256:[0-9a-f]{64}")


def reference_of(content: bytes) -> str:
    """The name of a content: `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def is_reference(value: object) -> bool:
    """Whether a value has the form of a reference."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


class BlobFolder:
    """A folder of blobs. May be used by several threads.

    Args:
        folder: Where they lie; made by the first `put`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._unsynchronised: list[Path] = []

    def put(self, content: bytes) -> str:
        """Store a content.

        Returns:
            Its reference.

        Raises:
            OSError: It cannot be written; nothing of it is there under its name.
        """
        reference = reference_of(content)
        path = self.path(reference)
        with self._lock:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            partial = path.with_name(f".{path.name}")
            try:
                descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                os.replace(partial, path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            self._unsynchronised.append(path)
            return reference

    def get(self, reference: str) -> bytes:
        """The content of a reference.

        Raises:
            JournalError: It is not there, or is another one.
        """
        if not is_reference(reference):
            raise JournalError(f"{reference!r} names no blob", hint="a reference is sha256: and 64 digits")
        try:
            content = self.path(reference).read_bytes()
        except FileNotFoundError:
            raise JournalError(
                f"the blob {reference} is missing", hint="`tissu audit RUN` says which record needs it"
            ) from None
        if reference_of(content) != reference:
            raise JournalError(
                f"the blob {reference} was altered", hint="`tissu audit RUN` says which record needs it"
            )
        return content

    def synchronise(self) -> None:
        """Wait until the disk has everything that was stored.

        Raises:
            OSError: The disk refuses.
        """
        with self._lock:
            waiting, self._unsynchronised = self._unsynchronised, []
        for path in [*waiting, self._folder] if waiting else []:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def path(self, reference: str) -> Path:
        """Where the content of a reference lies."""
        return self._folder / reference.removeprefix("sha256:")


def shortened(fields: Mapping[str, Any], put: Callable[[bytes], str]) -> dict[str, Any]:
    """Fields as they are written: long texts and bytes are blobs.

    A text under `name` that is too long becomes its reference under `name_blob`; in a list it becomes
    `{"_blob": reference}`. Bytes become their reference in their place. Names in nested mappings that look so by
    themselves get a `~`: `expanded` gives back exactly what was written, and nothing that came from outside can
    pass for a reference.

    Raises:
        JournalError: A name is not a text.
    """
    out: dict[str, Any] = {}
    for name, value in fields.items():
        if name.endswith(SUFFIX) and is_reference(value):  # the caller has stored it
            out[name] = value
        else:
            _enter(out, name, value, put)
    return out


def _enter(into: dict[str, Any], name: str, value: Any, put: Callable[[bytes], str]) -> None:
    name = f"{name}~" if _LIKE_A_BLOB.search(name) else name
    if _long(value):
        into[name + SUFFIX] = _put_text(value, put)
    else:
        into[name] = _short(value, put)


def _short(value: Any, put: Callable[[bytes], str]) -> Any:
    if isinstance(value, bytes):
        return put(value)
    if isinstance(value, Mapping):
        inner: dict[str, Any] = {}
        for name, one in value.items():
            if not isinstance(name, str):
                raise JournalError(f"{name!r} cannot be a name in a record", hint="names are texts")
            _enter(inner, name, one, put)
        return inner
    if isinstance(value, list | tuple):
        return [{SUFFIX: _put_text(one, put)} if _long(one) else _short(one, put) for one in value]
    return value


def _long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > LONGEST_TEXT


def _put_text(text: str, put: Callable[[bytes], str]) -> str:
    return put(text.encode("utf-8", "surrogatepass"))


def expanded(fields: Mapping[str, Any], get: Callable[[str], bytes]) -> dict[str, Any]:
    """Fields with their long texts again: the opposite of `shortened`, but for bytes, whose references stay.

    Raises:
        JournalError: A blob is missing or altered.
    """
    out: dict[str, Any] = {}
    for name, value in fields.items():
        if name.endswith(SUFFIX):
            out[name.removesuffix(SUFFIX).removesuffix("~")] = _text(value, get)
        else:
            out[name.removesuffix("~") if _LIKE_A_BLOB.search(name) else name] = _expanded(value, get)
    return out


def _expanded(value: Any, get: Callable[[str], bytes]) -> Any:
    if isinstance(value, dict):
        return _text(value[SUFFIX], get) if value.keys() == {SUFFIX} else expanded(value, get)
    if isinstance(value, list):
        return [_expanded(one, get) for one in value]
    return value


def _text(reference: str, get: Callable[[str], bytes]) -> str:
    return get(reference).decode("utf-8", "surrogatepass")
