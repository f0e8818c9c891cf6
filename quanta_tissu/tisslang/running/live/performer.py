"""Does the effects of a run for real."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from quanta_tissu.errors import CommitRefusedError
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
from quanta_tissu.tisslang.journal.redaction import Redactor
from quanta_tissu.tisslang.running.live import commands, files
from quanta_tissu.tisslang.running.live.documents import Documents
from quanta_tissu.tisslang.running.live.filestate import FileState
from quanta_tissu.tisslang.running.live.models import Models
from quanta_tissu.tisslang.running.rules import facts_of
from quanta_tissu.tisslang.sandbox.files import ProjectFiles
from quanta_tissu.tisslang.sandbox.manifest import Change
from quanta_tissu.tisslang.sandbox.policy import Policy
from quanta_tissu.tisslang.sandbox.transaction import Transaction

Output = Callable[[Effect, str, bytes], None]
"""Gets what commands and models write as it comes: the effect, "stdout", "stderr" or "answer", and the bytes."""


class LivePerformer:
    """Does the effects of a run.

    Args:
        root: The project's folder.
        scratch: A folder of the run for the copies of steps.
        policy: How commands are kept in where the script says nothing.
        models: Answers of models.
        documents: The database.
        secrets: Variables of the environment of commands that nobody may see.
        redactor: Hides them.
        keep: Keeps a content with the record.
        on_output: Gets what is written as it comes.
    """

    def __init__(
        self,
        root: Path,
        scratch: Path,
        policy: Policy,
        models: Models,
        documents: Documents,
        *,
        secrets: Mapping[str, str],
        redactor: Redactor,
        keep: Callable[[bytes], str],
        on_output: Output,
    ) -> None:
        self._root = root
        self._scratch = scratch
        self._policy = policy
        self._models = models
        self._documents = documents
        self._secrets = dict(secrets)
        self._redactor = redactor
        self._keep = keep
        self._on_output = on_output
        self._run = scratch.parent.name
        self._lock = threading.Lock()
        self._places: dict[str | None, _Place] = {None: _Place(root)}  # by transaction; None: the project itself
        self._transactions: dict[str, Transaction] = {}
        self._committed: dict[str, Transaction] = {}  # until that is recorded
        self._abandoned = {one.label: one for one in Transaction.abandoned(scratch)}

    def facts(self, effect: Effect) -> Mapping[str, Any]:
        """What rules are matched against."""
        return facts_of(effect.action, self._place(effect).root, self._policy.level.value)

    def estimate(self, effect: Effect) -> Usage:
        """What an effect costs at most."""
        return self._models.estimate(effect.action) if isinstance(effect.action, AskModel) else Usage()

    def prepare(self, effect: Effect) -> dict[str, Any]:
        """What must be known before an effect is begun."""
        return files.prepare(effect.action, self._place(effect).files)

    def perform(self, effect: Effect, prepared: Mapping[str, Any], cancelled: threading.Event) -> Outcome:
        """Do an effect.

        Raises:
            SandboxError: It could not be begun.
        """
        action = effect.action
        place = self._place(effect)
        match action:
            case ReadFile() | TestFile() | WriteFile() | AppendFile() | MakeFolder() | DeleteFile():
                outcome = files.perform(action, place.files, prepared, self._keep)
                place.state.changes()  # what the script did itself is not laid to the next command
                return outcome
            case RunCommand():
                return commands.perform(
                    effect,
                    action,
                    place.root,
                    self._policy,
                    secrets=self._secrets,
                    redactor=self._redactor,
                    state=place.state,
                    on_output=lambda stream, data: self._on_output(effect, stream, data),
                    cancelled=cancelled,
                )
            case AskModel():
                return self._models.perform(
                    effect, action, lambda text: self._on_output(effect, "answer", text.encode()), cancelled
                )
            case EstimateBlock():
                return Outcome(value=self._models.estimate_block(action))
            case QueryDatabase() | InsertDocument() | UpdateDocument() | DeleteDocument():
                return self._documents.perform(action, f"{self._run}:{effect.key}")
            case Begin():
                return self._begin(effect.key.removesuffix(".begin"))
            case Commit() | Discard():
                return self._end(effect.key.rpartition(".")[0], action)
            case _:
                raise AssertionError(f"{action.op} is not done here")

    def close(self) -> None:
        """Let go of what is open; copies of steps that did not end are thrown away."""
        for one in self._transactions.values():
            one.discard()
        for place in self._places.values():
            place.files.close()
        self._documents.close()

    # --- copies of the project -----------------------------------------------------------------------------------

    def _place(self, effect: Effect) -> _Place:
        with self._lock:
            return self._places[effect.transaction]

    def _begin(self, step: str) -> Outcome:
        transaction = Transaction.begin(self._root, self._scratch, label=step)
        with self._lock:
            self._transactions[step] = transaction
            self._places[step] = _Place(transaction.root)
        return Outcome()

    def _end(self, step: str, action: Commit | Discard) -> Outcome:
        with self._lock:
            transaction = self._transactions.pop(step)
            self._places.pop(step).files.close()
        if isinstance(action, Discard):
            transaction.discard()
            return Outcome()
        try:
            changes = transaction.commit()
        except CommitRefusedError as error:
            transaction.discard()
            return Outcome(problem=("R213", error.message), help=error.hint)
        self._committed[step] = transaction
        self._places[None].state.changes()
        return Outcome(files=_changed(changes))

    def abandoned(self, transaction: str) -> Outcome | None:
        """What came of a commit whose end nobody has recorded; None: the project has nothing of it."""
        found = self._abandoned.get(transaction)
        return Outcome(files=_changed(found.changes)) if found is not None and found.committed else None

    def recorded(self, effect: Effect) -> None:
        """The outcome of an effect is in the journal: what was kept in case it would not be can go."""
        if isinstance(effect.action, Commit):
            step = effect.key.removesuffix(".commit")
            if (transaction := self._committed.pop(step, None)) is not None:
                transaction.forget()
            if (settled := self._abandoned.pop(step, None)) is not None:
                settled.forget()


def _changed(changes: Iterable[Change]) -> tuple[FileChange, ...]:
    return tuple((one.kind, one.path, one.before, one.after) for one in changes)


class _Place:
    """A folder that effects work on: the project, or a copy of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = ProjectFiles(root)
        self._state: FileState | None = None
        self._lock = threading.Lock()

    @property
    def state(self) -> FileState:
        """Its files, as they were when they were first asked for."""
        with self._lock:
            if self._state is None:
                self._state = FileState(self.root)
            return self._state
