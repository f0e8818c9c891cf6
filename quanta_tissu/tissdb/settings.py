"""Settings of a collection: the schema of its documents and how long they live."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from quanta_tissu.errors import DatabaseError, InvalidDocumentError
from quanta_tissu.tissdb import catalog as catalogs
from quanta_tissu.tissdb.definitions import CollectionInfo
from quanta_tissu.tissdb.documents import Changes
from quanta_tissu.tissdb.schema import check_is_schema, violations

_NAMED = 5
"""Documents against a new schema that are named: enough to see what is wrong, without reading all the rest."""

_PAGE = 1000


class Unset(Enum):
    """What an argument is that was not given, where None says something."""

    UNSET = "unset"


UNSET = Unset.UNSET

LONGEST_LIFE = 1e11
"""Seconds: some thousands of years, so that the moment at which a document expires is a date."""


def settings_of(schema: dict[str, Any] | None, ttl: float | None) -> dict[str, Any]:
    """Settings as the catalog keeps them: those that are there.

    Raises:
        DatabaseError: The schema is none, or the time is none to live.
    """
    settings: dict[str, Any] = {}
    if schema is not None:
        check_is_schema(schema)
        settings["schema"] = schema
    if ttl is not None:
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= LONGEST_LIFE:
            raise DatabaseError(
                f"ttl = {ttl!r} is no time to live",
                hint="seconds, more than 0 and not more than 1e11; none: for ever",
            )
        settings["ttl"] = ttl
    return settings


def alter(changes: Changes, name: str, schema: dict[str, Any] | Unset | None, ttl: float | Unset | None) -> None:
    """As `Database.alter_collection`, in the writer's transaction."""
    info = changes.collection(name)
    old = info.settings
    settings = settings_of(
        old.get("schema") if isinstance(schema, Unset) else schema,
        old.get("ttl") if isinstance(ttl, Unset) else ttl,
    )
    if settings == old:
        return
    if "schema" in settings and settings["schema"] != old.get("schema"):
        _check_documents(changes, info, settings["schema"])
    altered = {key: settings.get(key) for key in ("schema", "ttl") if settings.get(key) != old.get(key)}
    catalogs.change_settings(changes.connection, info, settings)
    changes.log_change("alter collection", name, detail=json.dumps(altered, sort_keys=True))
    changes.catalog_changed()


def _check_documents(changes: Changes, info: CollectionInfo, schema: dict[str, Any]) -> None:
    """See that what is there is as a schema wants it.

    Raises:
        InvalidDocumentError: It is not; the first documents are named, and what is wrong at which path.
    """
    text = changes.connection.dialect.json_text("doc")
    said: list[str] = []
    first, after = "", 0
    while rows := changes.connection.rows(
        f"SELECT rid, id, {text} FROM {info.table} WHERE rid > ? AND (expires IS NULL OR expires > ?) "
        "ORDER BY rid LIMIT ?",
        (after, changes.time, _PAGE),
    ):
        after = rows[-1][0]
        for _, id, document in rows:
            wrong = violations(schema, json.loads(document))
            if not wrong:
                continue
            if len(said) == _NAMED:
                raise _against(info, [*said, "and more"], first)
            first = first or wrong[0][0]
            lines = [f"{path or 'the document'}: {what}" for path, what in wrong]
            said.append(f"{id!r}: {', '.join(lines)}")
    if said:
        raise _against(info, said, first)


def _against(info: CollectionInfo, said: list[str], path: str) -> InvalidDocumentError:
    return InvalidDocumentError(
        f"documents of {info.name!r} are against the new schema: {'; '.join(said)}",
        path=path,
        hint="change these documents first, or the schema; nothing was altered",
    )
