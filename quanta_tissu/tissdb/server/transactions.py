"""Transactions over HTTP: operations are collected, and applied all at once or not at all.

Between two requests nothing is locked. What a client has read is guarded by revisions: an operation names the one
that it expects, and if any is another by the time of the commit, nothing is done.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quanta_tissu.errors import ConflictError, NotFoundError, TissuError
from quanta_tissu.tissdb.database import Database
from quanta_tissu.tissdb.documents import Changes, Written
from quanta_tissu.tissdb.jsonl import new_document
from quanta_tissu.tissdb.server.failures import RequestError
from quanta_tissu.tissdb.server.settings import Settings
from quanta_tissu.tissdb.server.wire import expiry_of, revive
from quanta_tissu.tissdb.transaction import Transaction


class Operation(BaseModel):
    """A step of a transaction."""

    model_config = ConfigDict(extra="forbid", strict=True)

    op: Literal["insert", "upsert", "replace", "patch", "delete", "check"] = Field(
        description="What to do; `check` only sees that the document has the revision."
    )
    collection: str
    id: str | None = Field(None, description="Which document; of `insert` it may be left out.")
    document: dict[str, Any] | None = Field(None, description="Its fields, or of `patch` those that change.")
    revision: int | None = Field(None, description="The revision that the document must have; 0: there is none.")


@dataclass(slots=True)
class _Open:
    """A transaction that was begun."""

    owner: str
    database: str
    touched: float
    operations: list[Operation] = field(default_factory=list)
    bytes: int = 0


class Transactions:
    """The open transactions of a server.

    Args:
        settings: Their limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}

    def begin(self, owner: str, database: str) -> str:
        """Begin one.

        Raises:
            RequestError: There are too many.
        """
        with self._lock:
            self._forget_old()
            if len(self._open) >= self._settings.max_transactions:
                raise RequestError(
                    429, f"{len(self._open):,} transactions are open", hint="commit or roll back, and try again"
                )
            id = secrets.token_urlsafe(18)
            self._open[id] = _Open(owner, database, time.monotonic())
            return id

    def add(self, id: str, owner: str, database: str, operations: Sequence[Operation], size: int) -> int:
        """Add operations to one.

        Returns:
            How many it has.

        Raises:
            NotFoundError: There is none.
            RequestError: It gets too large.
        """
        with self._lock:
            found = self._find(id, owner, database)
            if (
                len(found.operations) + len(operations) > self._settings.max_operations
                or found.bytes + size > self._settings.max_transaction_bytes
            ):
                raise RequestError(
                    413,
                    f"the transaction would have more than {self._settings.max_operations:,} operations or "
                    f"{self._settings.max_transaction_bytes:,} bytes",
                    hint="split it",
                )
            found.operations.extend(operations)
            found.bytes += size
            found.touched = time.monotonic()
            return len(found.operations)

    def take(self, id: str, owner: str, database: str) -> list[Operation] | None:
        """The operations of one, which is then no longer open; None if there is none."""
        with self._lock:
            try:
                self._find(id, owner, database)
            except NotFoundError:
                return None
            return self._open.pop(id).operations

    @property
    def count(self) -> int:
        """How many are open."""
        with self._lock:
            self._forget_old()
            return len(self._open)

    def _find(self, id: str, owner: str, database: str) -> _Open:
        self._forget_old()
        found = self._open.get(id)
        if found is None or (found.owner, found.database) != (owner, database):
            raise no_transaction(id)
        return found

    def _forget_old(self) -> None:
        before = time.monotonic() - self._settings.transaction_timeout
        for id in [id for id, one in self._open.items() if one.touched < before]:
            del self._open[id]


def no_transaction(id: str) -> NotFoundError:
    """That there is no such transaction."""
    return NotFoundError(
        f"there is no transaction {id[:40]!r}", hint="it was committed, rolled back or too old: begin another"
    )


def commit(db: Database, operations: Sequence[Operation] | None, id: str, key: str) -> list[dict[str, Any]]:
    """Apply operations, all or none; under one key once.

    Args:
        db: Where.
        operations: What; None if the transaction is no longer there, so that only what it did can be told.
        id: The transaction, for errors.
        key: The idempotency key.

    Raises:
        NotFoundError: There is no such transaction, and none was committed; or a document is not there.
        ConflictError: A document has another revision, or is there already.
    """

    def work(changes: Changes) -> list[dict[str, Any]]:
        if operations is None:
            raise no_transaction(id)
        transaction = Transaction(changes)
        try:
            return [_apply(transaction, number, one) for number, one in enumerate(operations)]
        finally:
            transaction.end()

    return db.write(work, key=key, purpose="transaction")


def _apply(transaction: Transaction, number: int, operation: Operation) -> dict[str, Any]:
    try:
        written = _written(transaction, operation)
    except NotFoundError as error:
        # The transaction is there; what it was to change is not.
        raise ConflictError(f"operation {number} ({operation.op}): {error.message}", hint=error.hint) from None
    except TissuError as error:
        error.message = f"operation {number} ({operation.op}): {error.message}"
        raise
    return {"_id": written.id, "_rev": written.revision}


def _written(transaction: Transaction, operation: Operation) -> Written:
    collection = transaction.collection(operation.collection)
    id, revision = operation.id, operation.revision
    if operation.op != "insert" and id is None:
        raise RequestError(422, "it names no document", hint='give its "id"', path="id")
    if operation.op == "insert" and revision not in (None, 0):
        raise RequestError(422, "a new document has no revision", hint="leave it out", path="revision")
    if operation.op in ("delete", "check"):
        if operation.document is not None:
            raise RequestError(422, "it takes no document", hint="leave it out", path="document")
        if operation.op == "delete":
            return collection.delete(str(id), revision=revision)
        return _checked(transaction, operation)
    if operation.document is None:
        raise RequestError(422, "it has no document", hint='give its fields as "document"', path="document")
    new = new_document(revive(operation.document), id=id)
    vectors, expires = new.vectors or None, expiry_of(new)
    if operation.op == "insert":
        return collection.insert(new.value, id=new.id, vectors=vectors, expires=expires)
    if operation.op == "patch":
        return collection.patch(new.id, new.value, revision=revision, vectors=vectors, expires=expires)
    if operation.op == "replace":
        return collection.replace(new.id, new.value, revision=revision, vectors=vectors, expires=expires)
    if revision is not None:
        _checked(transaction, operation)
    return collection.upsert(new.id, new.value, vectors=vectors, expires=expires)


def _checked(transaction: Transaction, operation: Operation) -> Written:
    """See that a document has its revision, or that there is none."""
    found = transaction.collection(operation.collection).get(str(operation.id))
    current = 0 if found is None else found.revision
    if operation.revision is None:
        if found is None:
            raise NotFoundError(f"there is no document {operation.id!r} in {operation.collection!r}")
    elif current != operation.revision:
        now = f"at revision {current}" if current else "not there"
        raise ConflictError(
            f"document {operation.id!r} in {operation.collection!r} is {now}, not at {operation.revision}",
            hint="read it again, and repeat the transaction on what it is now",
        )
    return Written(str(operation.id), current)
