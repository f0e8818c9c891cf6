"""Collections: their settings and indexes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from fastapi import Body as JsonBody
from pydantic import Field

from quanta_tissu.errors import NotFoundError
from quanta_tissu.tissdb.catalog import check_name
from quanta_tissu.tissdb.database import Database
from quanta_tissu.tissdb.definitions import CollectionInfo
from quanta_tissu.tissdb.paths import path_text
from quanta_tissu.tissdb.server import answers
from quanta_tissu.tissdb.server.access import Session
from quanta_tissu.tissdb.server.routes.common import Admin, Body, CollectionName, IndexName, Reader, answer

router = APIRouter(prefix="/v1/{database}/{collection}", tags=["collections"])


class CollectionSettings(Body):
    """What a collection is to be."""

    json_schema: dict[str, Any] | None = Field(None, alias="schema", description="JSON Schema of its documents.")
    ttl: float | None = Field(None, gt=0, description="Seconds that a document lives.")


class IndexSettings(Body):
    """What an index is to be."""

    kind: Literal["value", "unique", "text", "vector"] = "value"
    fields: list[str] | None = Field(None, description="Paths of what it holds; by default its name.")
    dimension: int | None = Field(None, description="Numbers in each vector.")
    metric: Literal["cosine", "dot", "l2"] | None = None
    storage: Literal["float32", "int8", "bit"] | None = Field(None, description="How vectors are kept.")
    weights: list[float] | None = Field(None, description="Of the fields of a text index.")
    stemming: bool | None = Field(None, description="Find other forms of English words.")


@router.put("", response_model=answers.Collection)
def create_collection(session: Admin, collection: CollectionName, body: CollectionSettings) -> Response:
    """Make a collection, or see that it is there as described."""
    session.db.create_collection(collection, schema=body.json_schema, ttl=body.ttl)
    return answer(_described(find(session, collection)))


@router.get("", response_model=answers.CountedCollection)
def describe_collection(session: Reader, collection: CollectionName) -> Response:
    """Its settings, indexes, and how many documents it has."""
    info = find(session, collection)
    return answer(_described(info) | {"documents": session.collection(collection).count()})


@router.patch("", response_model=answers.Collection)
def alter_collection(session: Admin, collection: CollectionName, body: CollectionSettings) -> Response:
    """Give it other settings: those that are named, null removes one; what is in it must suit a new schema."""
    named = {"json_schema": "schema", "ttl": "ttl"}
    changed = {named[name]: getattr(body, name) for name in body.model_fields_set}
    session.db.alter_collection(collection, **changed)
    return answer(_described(find(session, collection)))


@router.delete("", response_model=answers.Dropped)
def drop_collection(session: Admin, collection: CollectionName) -> Response:
    """Remove it with all its documents."""
    session.db.drop_collection(collection)
    return answer({"dropped": collection})


@router.get("/_schema", response_model=dict[str, Any] | None)
def schema(session: Reader, collection: CollectionName) -> Response:
    """The JSON Schema of its documents, null if there is none."""
    return answer(find(session, collection).settings.get("schema"))


@router.put("/_schema", response_model=dict[str, Any] | None)
def set_schema(
    session: Admin,
    collection: CollectionName,
    body: Annotated[dict[str, Any], JsonBody(description="JSON Schema.")],
) -> Response:
    """Check its documents from now on; what is in it must suit the schema."""
    session.db.alter_collection(collection, schema=body)
    return answer(find(session, collection).settings.get("schema"))


@router.delete("/_schema", response_model=answers.Dropped)
def drop_schema(session: Admin, collection: CollectionName) -> Response:
    """Let its documents have any fields."""
    session.db.alter_collection(collection, schema=None)
    return answer({"dropped": "schema"})


@router.get("/_index", response_model=dict[str, answers.Index])
def list_indexes(session: Reader, collection: CollectionName) -> Response:
    """Its indexes."""
    return answer(_described(find(session, collection))["indexes"])


@router.put("/_index/{name}", status_code=201, response_model=answers.Index)
def create_index(session: Admin, collection: CollectionName, name: IndexName, body: IndexSettings) -> Response:
    """Make an index of what is in it and of what will come."""
    options = body.model_dump(include={"dimension", "metric", "storage", "weights", "stemming"}, exclude_none=True)
    session.collection(collection).create_index(name, kind=body.kind, fields=body.fields, **options)
    return answer(_described(find(session, collection))["indexes"][name], 201)


@router.delete("/_index/{name}", response_model=answers.Dropped)
def drop_index(session: Admin, collection: CollectionName, name: IndexName) -> Response:
    """Remove an index; the documents stay."""
    session.collection(collection).drop_index(name)
    return answer({"dropped": name})


def find(session: Session, name: str) -> CollectionInfo:
    """A collection.

    Raises:
        NotFoundError: There is none of this name.
    """
    db = session.db
    check_name(name)
    # In one state, which comes with a catalog of its own: others may have altered the collection.
    found = db.read(lambda connection, catalog: db.find(connection, catalog, name), one_state=True)
    if found is None:
        raise NotFoundError(f"there is no collection {name!r}", hint=_known(db))
    return found


def _known(db: Database) -> str:
    return f"collections: {', '.join(db.collections()) or 'none yet'}"


def _described(info: CollectionInfo) -> dict[str, Any]:
    return {
        "collection": info.name,
        "schema": info.settings.get("schema"),
        "ttl": info.settings.get("ttl"),
        "indexes": {
            index.name: {"kind": index.kind, "fields": list(map(path_text, index.paths)), **index.options}
            for index in info.indexes.values()
        },
    }
