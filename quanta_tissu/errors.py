"""The exceptions that users meet.

Every message says what is wrong, with which value, and what to do about it. The command line prints them
without a traceback; anything else that escapes is a bug of ours.
"""

from __future__ import annotations

from typing import Any


class TissuError(Exception):
    """Base of every error that a user's input or environment can cause.

    Args:
        message: What is wrong, with the offending value.
        hint: What to do about it, as a sentence; shown on its own line.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  help: {self.hint}"


class ConfigError(TissuError):
    """A configuration value is unknown, malformed or contradicts another one."""

    exit_code = 2


class DataError(TissuError):
    """A text source or a prepared dataset cannot be used as it is."""


class TokenizerError(TissuError):
    """A tokenizer is missing, untrained, malformed, or was given text that it must refuse."""


class CheckpointError(TissuError):
    """A checkpoint is missing, truncated, or belongs to another architecture."""


class TrainingError(TissuError):
    """Training cannot go on (not-a-number loss, full disk ...); what was saved is still there."""


class GenerationError(TissuError):
    """A generation request is impossible (prompt too long, no token left to choose from ...)."""


class EmbeddingError(TissuError):
    """Vectors cannot be had: a server refuses, cannot be reached, or answers with something else."""


class ScriptError(TissuError):
    """A script of TissLang cannot be read at all; what is wrong inside it is said by diagnostics."""


class TissLangError(TissuError):
    """A run of a script cannot go on, for a reason that is not in the script."""


class SandboxError(TissLangError):
    """A sandbox is missing, cannot be set up or died; never the failure of a command inside it."""


class FileRefusedError(SandboxError):
    """A script may not touch this file: it lies outside the project, or is protected."""


class FileMissingError(SandboxError):
    """A file that a script wants is not there."""


class CommitRefusedError(SandboxError):
    """What a step did on its copy of the project may not be brought into the project, which is as it was."""


class ModelError(TissLangError):
    """A language model cannot be opened, reached or made to answer in the form that was asked for."""


class ModelCancelledError(ModelError):
    """The answer of a model is not wanted any more; what had been spent by then is told as far as it is known.

    Args:
        message: What was given up.
        prompt_tokens: Tokens of the prompt that were read.
        completion_tokens: Tokens that were written.
        cost: What they cost.
    """

    def __init__(
        self, message: str, *, prompt_tokens: int = 0, completion_tokens: int = 0, cost: float = 0.0
    ) -> None:
        super().__init__(message)
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens
        self.cost = cost


class AnswerFormError(ModelError):
    """A model did not answer in the form that was asked for, however often it was asked.

    Args:
        message: What is wrong with its last answer.
        replies: All its answers, with what they cost.
        hint: What to do about it.
    """

    def __init__(self, message: str, *, replies: tuple[Any, ...], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.replies = replies


class JournalError(TissLangError):
    """The journal of a run is missing, held by another process, or not what was written."""


class SecretError(TissLangError):
    """A secret is not there, cannot be kept, or others may read where it is."""


class MissingDependencyError(TissuError):
    """An optional library is needed for what was asked."""


class DatabaseError(TissuError):
    """A database cannot be opened, or cannot do what was asked; what was stored before is untouched."""


class NotFoundError(DatabaseError):
    """A document, collection or index that was named does not exist."""


class ConflictError(DatabaseError):
    """A document is not in the state that the caller expected: changed meanwhile, or there already."""


class UniqueError(ConflictError):
    """A value must be unique in its collection and is there already."""


class InvalidDocumentError(DatabaseError):
    """A value cannot be stored: not JSON, too large, or against the collection's schema.

    Args:
        message: What is wrong.
        path: Where in the document, as in TissQL (`a.b[0]`); empty for the document itself.
        hint: What to do about it.
    """

    def __init__(self, message: str, *, path: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class BusyError(DatabaseError):
    """Somebody else holds the database for too long; nothing was written, and trying again is safe."""


class QueryTimeoutError(DatabaseError):
    """A read took longer than it may, and was stopped; the database can be used as before."""


class StorageError(DatabaseError):
    """The disk is full, or the file is read-only; nothing of the write was kept."""


class UnknownOutcomeError(DatabaseError):
    """The disk failed while a write was being committed: it may be there or not.

    Repeating the write with the same idempotency key is safe: it is done exactly once.
    """


class CorruptionError(DatabaseError):
    """The file is not a database of ours, or is damaged."""


class QueryError(DatabaseError):
    """A query means nothing, or something that is not supported; of a statement, the message shows the place.

    Args:
        message: What is wrong.
        hint: What to do about it.
        statement: The statement in TissQL, if it is one.
        start: Where in it, as a number of characters from its beginning.
        end: The character after the place.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, statement: str | None = None, start: int = 0, end: int = 0
    ) -> None:
        self.what = message
        self.statement = statement
        self.start = self.end = self.line = self.column = 0
        if statement is not None:
            self.start = min(max(start, 0), len(statement))
            self.end = max(end, self.start + 1)
            self.line = statement.count("\n", 0, self.start) + 1
            self.column = self.start - statement.rfind("\n", 0, self.start)
            message = f"{message}\n{self._shown(statement)}"
        super().__init__(message, hint=hint)

    def _shown(self, statement: str) -> str:
        """The line with the place, cut to its neighbourhood, and a caret below."""
        place = self.column - 1
        line = statement[self.start - place :].split("\n", 1)[0]
        shown_from = max(0, place - 60)
        # Whatever is no plain character would move the caret.
        shown = "".join(c if c.isprintable() else " " for c in line[shown_from : shown_from + 100])
        before = place - shown_from
        width = max(1, min(self.end - self.start, len(shown) - before))
        return f"  {shown}\n  {' ' * before}{'^' * width}"
