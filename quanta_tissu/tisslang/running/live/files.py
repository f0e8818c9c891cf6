"""Files of the project, as scripts touch them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from quanta_tissu.errors import FileMissingError, FileRefusedError
from quanta_tissu.tisslang.engine.effects import (
    Action,
    AppendFile,
    DeleteFile,
    FileChange,
    MakeFolder,
    Outcome,
    ReadFile,
    TestFile,
    WriteFile,
)
from quanta_tissu.tisslang.engine.values import as_text
from quanta_tissu.tisslang.sandbox.files import ProjectFiles

_MOST_KEPT = 2**20

FileAction = ReadFile | TestFile | WriteFile | AppendFile | MakeFolder | DeleteFile


def prepare(action: Action, files: ProjectFiles) -> dict[str, Any]:
    """What must be known before an effect on a file is begun: what APPEND and DELETE find, and leave."""
    if not isinstance(action, AppendFile | DeleteFile):
        return {}
    try:
        path = as_text(action.path)
        before = files.read(path) if files.kind(path) == "file" else b""
    except (FileMissingError, FileRefusedError):  # doing it says what is wrong
        return {}
    after = before + as_text(action.text).encode() if isinstance(action, AppendFile) else b""
    return {"before": _digest(before), "after": _digest(after)}


def perform(
    action: FileAction, files: ProjectFiles, prepared: Mapping[str, Any], keep: Callable[[bytes], str]
) -> Outcome:
    """Do an effect on a file.

    Args:
        action: It.
        files: The project's files.
        prepared: What `prepare` gave.
        keep: Keeps a content with the record, so that what was changed can be shown.
    """
    path = as_text(action.path)
    try:
        changes = isinstance(action, WriteFile | AppendFile | DeleteFile)
        if "again" in prepared:
            files.sweep(path)
        if changes:
            _keep(files, path, keep)
        outcome = _perform(action, path, files, prepared)
        if changes and not isinstance(action, DeleteFile):
            _keep(files, path, keep)
        return outcome
    except (FileMissingError, FileRefusedError) as error:
        return Outcome(problem=("R203", error.message), help=error.hint)


def _perform(action: FileAction, path: str, files: ProjectFiles, prepared: Mapping[str, Any]) -> Outcome:
    match action:
        case ReadFile():
            data = files.read(path)
            try:
                return Outcome(value=data.decode())
            except UnicodeDecodeError:
                said = f"{path} is no text: it is not UTF-8"
                return Outcome(problem=("R203", said), help="RUN a tool that reads it")
        case TestFile():
            return Outcome(value=files.kind(path))
        case WriteFile(text=text):
            before = _known_digest(files, path)
            data = as_text(text).encode()
            files.write(path, data)
            return Outcome(files=_change(path, before, _digest(data)))
        case AppendFile(text=text):
            before = _known_digest(files, path)
            done = "again" in prepared and before == prepared.get("after") != prepared.get("before")
            if done:  # before the run died
                return Outcome(files=_change(path, prepared["before"], before))
            files.append(path, as_text(text).encode())
            return Outcome(files=_change(path, before, files.digest(path)))
        case MakeFolder():
            files.make_directory(path)
            return Outcome()
        case DeleteFile():
            before = _known_digest(files, path)
            if "again" in prepared and files.kind(path) is None:  # it was done before the run died
                return Outcome(files=(("D", path, prepared.get("before"), None),))
            files.delete(path)
            return Outcome(files=() if before is None else (("D", path, before, None),))


def _keep(files: ProjectFiles, path: str, keep: Callable[[bytes], str]) -> None:
    """Keep what is in a file now, if there is one, and it is not large."""
    with suppress(FileMissingError, FileRefusedError):  # doing it says what is wrong
        if files.kind(path) == "file":
            content = files.read(path)
            if len(content) <= _MOST_KEPT:
                keep(content)


def _known_digest(files: ProjectFiles, path: str) -> str | None:
    """The digest of a file; None if there is none."""
    return files.digest(path) if files.kind(path) == "file" else None


def _change(path: str, before: str | None, after: str | None) -> tuple[FileChange, ...]:
    if before == after:
        return ()
    return (("A" if before is None else "M", path, before, after),)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
