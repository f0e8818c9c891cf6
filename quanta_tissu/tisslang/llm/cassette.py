"""Cassettes: what a model was asked and answered, as JSON lines, and the same again without the model.

A line is `{"digest": ..., "request": {...}, "reply": {...}}`. Recording appends whole lines, so that a file stays
readable whenever the process is killed. Playing gives the answer that was recorded for the same request; a request
that was made several times gets its answers in the order in which they were recorded.
"""

from __future__ import annotations

import difflib
import fcntl
import json
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quanta_tissu.errors import ModelCancelledError, ModelError
from quanta_tissu.tisslang.llm.protocol import LanguageModel, OnText, Reply, Request, count_at_most

_BEGINNING = b'{"digest": "'
_MOST_LINES = 40  # of a difference that is shown


@dataclass(frozen=True, slots=True)
class Recorded:
    """A line of a cassette.

    Attributes:
        digest: Of the request.
        request: The request, as `Request.record` gives it.
        reply: The answer.
    """

    digest: str
    request: Mapping[str, Any]
    reply: Reply


class CassettePlayer:
    """Answers from a cassette.

    Args:
        path: The file.

    Raises:
        ModelError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"cassette:{path.name}"
        self._path = path
        self._all = read(path)
        self._lock = threading.Lock()
        self._by_digest: dict[str, list[Recorded]] = defaultdict(list)
        for one in self._all:
            self._by_digest[one.digest].append(one)
        self._played: dict[str, int] = defaultdict(int)

    def count_tokens(self, request: Request) -> int:
        """As was recorded for the request; of another one, no fewer than any model makes of it."""
        found = self._by_digest.get(request.digest())
        return max(one.reply.prompt_tokens for one in found) if found else count_at_most(request)

    def generate(
        self,
        request: Request,
        on_text: OnText | None = None,
        cancelled: threading.Event | None = None,
    ) -> Reply:
        """As `LanguageModel`.

        Raises:
            ModelError: Nothing is recorded for the request, or not as often as it is made.
            ModelCancelledError: It was given up.
        """
        if cancelled is not None and cancelled.is_set():
            raise ModelCancelledError(f"{self.name} was not asked")
        digest = request.digest()
        with self._lock:
            found = self._by_digest.get(digest, [])
            place = self._played[digest]
            self._played[digest] += 1
        if place >= len(found):
            raise self._missing(request, len(found))
        reply = found[place].reply
        if on_text is not None and reply.text:
            on_text(reply.text)
        return reply

    def _missing(self, request: Request, times: int) -> ModelError:
        hint = f"record it: cassette:{self._path}=MODEL"
        if times:
            return ModelError(
                f"{self._path} has {times} answers to this request, and it is made once more", hint=hint
            )
        if not self._all:
            return ModelError(f"{self._path} is empty", hint=hint)
        wanted = _lines(request.record())
        words = _words(request.record())
        nearest = max(self._all, key=lambda one: _likeness(words, _words(one.request)))
        number = self._all.index(nearest) + 1
        shown = list(
            difflib.unified_diff(_lines(nearest.request), wanted, f"line {number}", "this request", "", "", 1, "")
        )
        if len(shown) > _MOST_LINES:
            shown = [*shown[:_MOST_LINES], f"... and {len(shown) - _MOST_LINES} lines more"]
        text = "\n".join(f"  {line}" for line in shown)
        return ModelError(f"{self._path} has no answer to this request; the nearest differs:\n{text}", hint=hint)


class CassetteRecorder:
    """Asks a model, and appends what it was asked and answered to a cassette.

    Args:
        path: The file; it is made if it is not there.
        model: Who answers.

    Raises:
        ModelError: The file cannot be written, or is no cassette.
    """

    def __init__(self, path: Path, model: LanguageModel) -> None:
        self.name = model.name
        self._path = path
        self._model = model
        if path.exists():
            read(path)  # another file is not written to
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _held(path) as file:
                _cut_torn_line(file, path)
        except OSError as error:
            raise self._unwritable(error) from None

    def count_tokens(self, request: Request) -> int:
        """As the model counts."""
        return self._model.count_tokens(request)

    def generate(
        self,
        request: Request,
        on_text: OnText | None = None,
        cancelled: threading.Event | None = None,
    ) -> Reply:
        """As `LanguageModel`; what fails is not recorded.

        Raises:
            ModelError: As the model's, or the file cannot be written.
        """
        reply = self._model.generate(request, on_text, cancelled)
        line = {"digest": request.digest(), "request": request.record(), "reply": asdict(reply)}
        data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        try:
            with _held(self._path) as file:
                _cut_torn_line(file, self._path)  # a process that shares the file may have been killed since
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(error) from None
        return reply

    def _unwritable(self, error: OSError) -> ModelError:
        return ModelError(
            f"cannot record to {self._path}: {error.strerror}", hint="choose another file, or make room"
        )


def read(path: Path) -> list[Recorded]:
    """What a cassette holds. A last line that a killed process left unfinished is passed over.

    Raises:
        ModelError: The file cannot be read, or a line is none of a cassette.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read the cassette {path}: {error.strerror}", hint=f"record it: cassette:{path}=MODEL"
        ) from None
    recorded = []
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            found = json.loads(line)
            recorded.append(Recorded(str(found["digest"]), dict(found["request"]), Reply(**found["reply"])))
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"line {number} of {path} is none of a cassette: {type(error).__name__}: {error}",
                hint="the file was edited or damaged; remove the line, or record it again",
            ) from None
    return recorded


class _held:  # noqa: N801 - used as a function
    """The file for reading and appending, held against other processes and threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b")

    def __enter__(self) -> Any:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _cut_torn_line(file: Any, path: Path) -> None:
    """Remove what a killed process left behind the last end of a line.

    Raises:
        ModelError: It is not the beginning of a line of a cassette.
    """
    if file.seek(0, os.SEEK_END) == 0:
        return
    file.seek(-1, os.SEEK_END)
    if file.read() == b"\n":
        return
    file.seek(0)
    data: bytes = file.read()
    torn = data[data.rfind(b"\n") + 1 :]
    if not _BEGINNING.startswith(torn[: len(_BEGINNING)]):
        raise ModelError(f"the last line of {path} is none of a cassette", hint="record to another file")
    file.truncate(len(data) - len(torn))


def _lines(record: Mapping[str, Any]) -> list[str]:
    """A request, laid out to be compared line by line."""
    lines = [
        f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in record.items() if name != "messages"
    ]
    for one in record["messages"]:
        lines += [f"{one['role']}:", *(f"    {line}" for line in one["content"].split("\n"))]
    return lines


def _likeness(one: Counter[str], other: Counter[str]) -> float:
    """How alike two requests are by their words, from 0 to 1."""
    return 2 * (one & other).total() / (one.total() + other.total())


def _words(record: Mapping[str, Any]) -> Counter[str]:
    return Counter(" ".join(_lines(record)).split())
