"""What goes wrong, as clients see it: one table from errors to status codes, one shape of answer."""

from __future__ import annotations

import json
import re
from typing import Any

from quanta_tissu import errors

STATUS: dict[type[errors.TissuError], int] = {
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.InvalidDocumentError: 422,
    errors.QueryError: 400,
    errors.BusyError: 503,
    errors.QueryTimeoutError: 503,
    errors.StorageError: 507,
    errors.UnknownOutcomeError: 500,
    errors.CorruptionError: 500,
    errors.MissingDependencyError: 501,
    errors.DatabaseError: 400,
    errors.TissuError: 500,
}
"""The status of an error is that of the first of its classes in the order of their inheritance."""


class RequestError(errors.TissuError):
    """A request is refused before it reaches a database.

    Args:
        status: The status code.
        message: What is wrong.
        hint: What to do about it.
        path: Where in the body.
        headers: Headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        hint: str | None = None,
        path: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.path = path
        self.headers = headers or {}


def status_of(error: errors.TissuError, *, conditional: bool = False) -> int:
    """The status code of an error.

    Args:
        error: The error.
        conditional: The request had a precondition (`If-Match`), which a conflict then fails.
    """
    if isinstance(error, RequestError):
        return error.status
    for kind in type(error).__mro__:
        if kind in STATUS:
            status = STATUS[kind]
            unique = isinstance(error, errors.UniqueError)
            return 412 if status == 409 and conditional and not unique else status
    raise AssertionError("unreachable: every error has a class in the table")


def type_of(error: errors.TissuError) -> str:
    """How answers name its kind: `not_found`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()


def error_body(error: errors.TissuError, request: str, **more: Any) -> bytes:
    """The answer to a request that failed.

    Args:
        error: Why.
        request: The request's id.
        more: What else the client should know.
    """
    said: dict[str, Any] = {
        "type": type_of(error),
        "message": error.message,
        "hint": error.hint,
        "path": getattr(error, "path", ""),
        "request": request,
    }
    if isinstance(error, errors.QueryError) and error.statement is not None:
        said |= {"line": error.line, "column": error.column, "start": error.start, "end": error.end}
    return json.dumps({"error": said | more}, ensure_ascii=False).encode("utf-8", "replace")
