"""JSON Schema (draft 2020-12) of a collection's documents."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from quanta_tissu.errors import DatabaseError, InvalidDocumentError
from quanta_tissu.tissdb.values import Value


def check_is_schema(schema: dict[str, Any]) -> None:
    """Refuse what is no schema.

    Raises:
        DatabaseError: It is none; the error says why.
    """
    import jsonschema_rs

    try:
        jsonschema_rs.validator_for(schema, retriever=_fetch_nothing)
    except (jsonschema_rs.ValidationError, ValueError, TypeError) as error:
        where = _path(getattr(error, "instance_path", []))
        reason = getattr(error, "message", str(error))
        raise DatabaseError(
            f"this is no JSON Schema: {where + ': ' if where else ''}{reason}",
            hint="see https://json-schema.org, draft 2020-12",
        ) from None


def check_schema(schema: dict[str, Any], value: Value) -> None:
    """Refuse a document that is against a schema. Its tagged values are seen as they are stored.

    Args:
        schema: A schema that `check_is_schema` let pass.
        value: The document in JSON's own types, with tags (`values.plain`).

    Raises:
        InvalidDocumentError: It is against the schema; all violations are named by path.
    """
    found = violations(schema, value)
    if found:
        lines = [f"{path or 'the document'}: {what}" for path, what in found]
        raise InvalidDocumentError(
            f"the document is against the schema of its collection: {'; '.join(lines)}", path=found[0][0]
        )


def violations(schema: dict[str, Any], value: Value) -> list[tuple[str, str]]:
    """What is against a schema in a document: paths, and what is wrong there. Arguments as in `check_schema`."""
    validator = _validator(json.dumps(schema, sort_keys=True))
    if validator.is_valid(value):
        return []
    errors = sorted(validator.iter_errors(value), key=lambda error: [str(step) for step in error.instance_path])
    return [(_path(error.instance_path), error.message) for error in errors]


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for(json.loads(schema), retriever=_fetch_nothing)


def _fetch_nothing(uri: str) -> Any:
    """A schema stands for itself: what a database checks must not depend on, or tell, anybody else."""
    raise ValueError(f"{uri} is not within the schema")


def _path(steps: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")
