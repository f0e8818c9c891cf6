"""Documents of a TissDB, as scripts touch them."""

from __future__ import annotations

import base64
import datetime as dt
import threading
from pathlib import Path
from typing import Any

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.database import Database
from quanta_tissu.tisslang.engine.effects import (
    DeleteDocument,
    InsertDocument,
    Outcome,
    QueryDatabase,
    UpdateDocument,
)
from quanta_tissu.tisslang.engine.values import Value, as_text

DocumentAction = QueryDatabase | InsertDocument | UpdateDocument | DeleteDocument

_MOST_ROWS = 10_000


class Documents:
    """The database of a run, opened when it is first needed.

    Args:
        url: Its file or address.
        actor: On whose behalf it is changed, for its log.
    """

    def __init__(self, url: str, actor: str) -> None:
        self._url = url
        self._actor = actor
        self._database: Database | None = None
        self._lock = threading.Lock()

    def perform(self, action: DocumentAction, key: str) -> Outcome:
        """Do an effect on documents.

        Args:
            action: It.
            key: Names the write: the database does it once, however often it is asked.
        """
        try:
            return Outcome(value=self._perform(action, key))
        except DatabaseError as error:
            return Outcome(problem=("R209", error.message), help=error.hint)

    def _perform(self, action: DocumentAction, key: str) -> Value:
        database = self._opened()
        match action:
            case QueryDatabase(query=query, parameters=parameters):
                return _rows(database, as_text(query), parameters)
            case InsertDocument(collection=collection, document=document):
                return database[as_text(collection)].insert(_object(document), key=key).id
            case UpdateDocument(collection=collection, id=id, change=change):
                database[as_text(collection)].patch(as_text(id), _object(change), key=key)
            case DeleteDocument(collection=collection, id=id):
                database[as_text(collection)].delete(as_text(id), key=key)
        return None

    def _opened(self) -> Database:
        from quanta_tissu import tissdb

        with self._lock:
            if self._database is None:
                if "://" not in self._url and self._url != ":memory:":
                    Path(self._url).parent.mkdir(parents=True, exist_ok=True)
                self._database = tissdb.open(self._url, actor=self._actor)
            return self._database

    def close(self) -> None:
        """Close it, if it was opened."""
        if self._database is not None:
            self._database.close()


def _rows(database: Database, query: str, parameters: Value) -> Value:
    """The rows of a query, as objects; a view refuses statements that write."""
    if not isinstance(parameters, dict | list):
        raise DatabaseError("parameters are an object, or a list", hint="WITH {name: value}")
    with database.view() as view:
        result = view.query(query, parameters)
    if len(result.rows) > _MOST_ROWS:
        raise DatabaseError(f"the query gives {len(result.rows):,} rows; {_MOST_ROWS:,} are enough", hint="LIMIT")
    return [{name: _plain(one) for name, one in zip(result.columns, row, strict=True)} for row in result.rows]


def _plain(value: Any) -> Value:
    """A value of a document as scripts know values: dates and bytes become texts."""
    match value:
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return value  # type: ignore[no-any-return]


def _object(value: Value) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DatabaseError("a document is an object")
    return value
