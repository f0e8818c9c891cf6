"""Does effects in memory, with outcomes that are written down: to try a script, or the engine, without a machine.

Nothing is touched: files are a dictionary, commands and models answer what they were told to. The interpreter, the
journal, rules and budgets are the real ones.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from quanta_tissu.tisslang.engine.budgets import Usage
from quanta_tissu.tisslang.engine.effects import (
    AppendFile,
    AskModel,
    Begin,
    Commit,
    DeleteDocument,
    DeleteFile,
    Discard,
    Effect,
    EstimateBlock,
    FileChange,
    InsertDocument,
    MakeFolder,
    Outcome,
    QueryDatabase,
    ReadFile,
    RunCommand,
    TestFile,
    UpdateDocument,
    WriteFile,
)
from quanta_tissu.tisslang.engine.shell import as_shown
from quanta_tissu.tisslang.engine.values import Value, as_text
from quanta_tissu.tisslang.running.rules import facts_of


class MockPerformer:
    """Does effects in memory.

    Args:
        files: The files of the project, by path; changed by the script.
        commands: By a regular expression that fits a command: what it writes, or its exit code, or both as
            `{"STDOUT": ..., "EXIT_CODE": ...}`. A command that none fits ends with 127.
        answers: What models answer, in order.
        rows: What queries give, in order.

    Attributes:
        done: The keys of all effects that were done, in order.
    """

    def __init__(
        self,
        files: MutableMapping[str, str] | None = None,
        commands: Mapping[str, Any] | None = None,
        answers: list[Value] | None = None,
        rows: list[Value] | None = None,
    ) -> None:
        self.files = {} if files is None else files
        self.documents: dict[tuple[str, str], Value] = {}
        self.done: list[str] = []
        given = dict(commands or {})
        self._commands = {one: list(said) if isinstance(said, list) else said for one, said in given.items()}
        self._answers = list(answers or [])
        self._rows = list(rows or [])
        self._copies: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def facts(self, effect: Effect) -> Mapping[str, Any]:
        """What rules are matched against."""
        return facts_of(effect.action, Path("/"), "bwrap")

    def estimate(self, effect: Effect) -> Usage:
        """What an effect costs at most: of a model, a call and a token a character."""
        if not isinstance(effect.action, AskModel):
            return Usage()
        limit = effect.action.settings.get("max_tokens", 100)
        return Usage(1, len(as_text(effect.action.prompt)) + (limit if isinstance(limit, int) else 100))

    def prepare(self, effect: Effect) -> dict[str, Any]:
        """Nothing: memory does not outlive the process."""
        return {}

    def perform(self, effect: Effect, prepared: Mapping[str, Any], cancelled: threading.Event) -> Outcome:
        """Do an effect in memory."""
        with self._lock:
            self.done.append(effect.key)
            return self._perform(effect)

    def abandoned(self, transaction: str) -> Outcome | None:
        """Nothing is left of a copy in memory."""
        return None

    def recorded(self, effect: Effect) -> None:
        """Nothing was kept."""

    def _perform(self, effect: Effect) -> Outcome:
        files = self.files if effect.transaction is None else self._copies[effect.transaction]
        match effect.action:
            case ReadFile(path=path):
                if as_text(path) not in files:
                    return Outcome(problem=("R203", f"{as_text(path)} is not there"))
                return Outcome(value=files[as_text(path)])
            case TestFile(path=path):
                return Outcome(value="file" if as_text(path) in files else None)
            case WriteFile(path=path, text=text):
                return _written(files, as_text(path), as_text(text))
            case AppendFile(path=path, text=text):
                return _written(files, as_text(path), files.get(as_text(path), "") + as_text(text))
            case DeleteFile(path=path):
                if files.pop(as_text(path), None) is None:
                    return Outcome(problem=("R203", f"{as_text(path)} is not there"))
            case RunCommand():
                return self._run(effect.action)
            case AskModel(prompt=prompt):
                answer = self._answers.pop(0)
                usage = Usage(1, len(as_text(prompt)) + len(as_text(answer)))
                return Outcome(value=answer, usage=usage)
            case EstimateBlock(prompts=prompts):
                return Outcome(value=f"{len(prompts)} prompts")
            case QueryDatabase():
                return Outcome(value=self._rows.pop(0))
            case InsertDocument(collection=collection, document=document):
                number = str(len(self.documents) + 1)
                self.documents[as_text(collection), number] = document
                return Outcome(value=number)
            case UpdateDocument(collection=collection, id=id, change=change):
                self.documents[as_text(collection), as_text(id)] = change
            case DeleteDocument(collection=collection, id=id):
                self.documents.pop((as_text(collection), as_text(id)), None)
            case Begin():
                self._copies[effect.key.removesuffix(".begin")] = dict(self.files)
            case Commit():
                self.files.clear()
                self.files.update(self._copies.pop(effect.key.removesuffix(".commit")))
            case Discard():
                self._copies.pop(effect.key.removesuffix(".discard"))
            case MakeFolder():
                pass
        return Outcome()

    def _run(self, action: RunCommand) -> Outcome:
        command = as_shown(
            as_text(action.command), [(name, as_text(value)) for name, value in action.variables.items()]
        )
        found = next((said for one, said in self._commands.items() if re.search(one, command)), 127)
        parts: dict[str, Value] = {"STDOUT": "", "STDERR": "", "EXIT_CODE": 0, "EXECUTION_TIME": 0.0}
        match found:
            case str():
                parts["STDOUT"] = found
            case int():
                parts["EXIT_CODE"] = found
            case list():  # one after the other; the last stays
                said = found.pop(0) if len(found) > 1 else found[0]
                parts |= said if isinstance(said, dict) else {"EXIT_CODE": said}
            case _:
                parts |= found
        seconds = parts["EXECUTION_TIME"]
        return Outcome(value=parts, seconds=float(seconds) if isinstance(seconds, int | float) else 0.0)


def _written(files: MutableMapping[str, str], path: str, text: str) -> Outcome:
    before = files.get(path)
    files[path] = text
    if before == text:
        return Outcome()
    change: FileChange = (
        "A" if before is None else "M",
        path,
        None if before is None else _digest(before),
        _digest(text),
    )
    return Outcome(files=(change,))


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
