"""What answers look like, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quanta_tissu.tissdb.server.tokens import Role

Value = Any
"""Of a document, in JSON's own types: tags (`{"$date": ...}`) stand for dates, times and bytes."""


class Answer(BaseModel):
    """An answer has these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class Health(Answer):
    """That the server is well."""

    status: Literal["ok"]
    version: str
    seconds: float = Field(description="For how long it has been running.")
    databases: int = Field(description="How many are open; each of them was read.")


class Client(Answer):
    """Whose a token is, and what it may do."""

    name: str
    grants: dict[str, Role]
    expires: float | None = Field(description="In seconds since 1970.")


class DatabaseNames(Answer):
    """Databases that one may read."""

    databases: list[str]
    encoder: str | None = Field(description="What makes vectors of texts for `near`, if the server has it.")


class DatabaseMade(Answer):
    """A database that is there now."""

    database: str
    uuid: str


class CollectionStats(Answer):
    """A collection in a few words."""

    documents: int
    indexes: dict[str, str] = Field(description="The kind of each.")


class LogEnd(Answer):
    """The end of the log."""

    entries: int
    head: str


class DatabaseStats(DatabaseMade):
    """What is in a database."""

    bytes: int
    log: LogEnd
    collections: dict[str, CollectionStats]


class Change(Answer):
    """A change."""

    seq: int
    time: int = Field(description="In microseconds since 1970.")
    action: str
    collection: str | None
    id: str | None


class Changes(Answer):
    """Changes, and the number after which the next ones are."""

    changes: list[Change]
    next: int


class Entry(Change):
    """All that the log says of a change."""

    actor: str
    ok: bool
    digest: str | None
    detail: Value
    hash: str


class Entries(Answer):
    """Part of the log, and the number after which it goes on."""

    entries: list[Entry]
    next: int


class Index(BaseModel):
    """An index; what else it has depends on its kind."""

    kind: Literal["value", "unique", "text", "vector"]
    fields: list[str]


class Collection(Answer):
    """A collection."""

    collection: str
    json_schema: dict[str, Any] | None = Field(alias="schema")
    ttl: float | None = Field(description="Seconds that a document lives.")
    indexes: dict[str, Index]


class CountedCollection(Collection):
    """A collection, and how many documents it has."""

    documents: int


class Dropped(Answer):
    """What is no longer there."""

    dropped: str


class Written(Answer):
    """A document that was written."""

    id: str = Field(alias="_id")
    revision: int = Field(alias="_rev")


class Document(BaseModel):
    """A document: its fields beside these."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(alias="_id")
    revision: int = Field(alias="_rev")
    created: int = Field(alias="_created", description="In microseconds since 1970.")
    updated: int = Field(alias="_updated")


class Documents(Answer):
    """Some documents, and the number to ask for the next ones with, null at the end."""

    documents: list[Document]
    next: int | None


class Rows(Answer):
    """What a query has found."""

    columns: list[str]
    rows: list[list[Value]]


class Changed(Answer):
    """How many documents a statement has written."""

    changed: int


class Explained(Answer):
    """How a statement would find its documents."""

    plan: list[str]
    writes: bool


class Snippet(Answer):
    """Part of a text, and where in it, counted in code points, the words stand."""

    field: str
    text: str
    spans: list[tuple[int, int]]


class Hit(Answer):
    """A document that was found, and why."""

    score: float
    why: str
    snippet: Snippet | None
    document: Document


class Hits(Answer):
    """What a search has found, the best first."""

    hits: list[Hit]


class Stored(Answer):
    """How many documents `_bulk` has stored."""

    stored: int


class Begun(Answer):
    """A transaction."""

    transaction: str
    timeout: float = Field(description="Seconds without a word after which it is forgotten.")


class Added(Answer):
    """How many operations a transaction has."""

    operations: int


class Committed(Answer):
    """What each operation has left."""

    results: list[Written]


class RolledBack(Answer):
    """The transaction that is forgotten."""

    rolled_back: str
