"""`_query` and `_search`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from quanta_tissu.tissdb.finding import Hit
from quanta_tissu.tissdb.server import answers
from quanta_tissu.tissdb.server.failures import RequestError
from quanta_tissu.tissdb.server.routes.common import Body, CollectionName, IdempotencyKey, Reader, answer
from quanta_tissu.tissdb.server.wire import document_json, revive
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.parameters import bound
from quanta_tissu.tissdb.tissql.run import prepare
from quanta_tissu.tissdb.values import plain

router = APIRouter(prefix="/v1/{database}", tags=["finding"])


class Statement(Body):
    """A statement of TissQL."""

    statement: str = Field(min_length=1)
    parameters: list[Any] | dict[str, Any] = Field(
        default_factory=list, description="A value for each `?`, or by name for each `:name`."
    )


class Search(Body):
    """What to search for: words, a vector, or both."""

    text: str | None = Field(None, description='Words, "phrases", beginnings*, +required, -excluded.')
    vector: list[float] | None = None
    near: str | None = Field(
        None, description="A text, whose vector the server's encoder makes, in the place of `vector`."
    )
    k: int = Field(10, ge=1, le=10_000)
    text_index: str | None = None
    vector_index: str | None = None
    need: Literal["any", "all"] = "any"
    fusion: Literal["rrf", "weighted"] = "weighted"
    weights: tuple[float, float] = (1.0, 1.0)
    where: str | None = Field(None, description="A condition of TissQL: only documents that suit it are found.")
    parameters: list[Any] | dict[str, Any] = Field(default_factory=list, description="Of the condition.")


@router.post("/_query", response_model=answers.Rows | answers.Changed)
def query(session: Reader, body: Statement, idempotency_key: IdempotencyKey = None) -> Response:
    """Run a statement; those that write need the role writer."""
    parsed, key = prepare(body.statement).parsed, None
    if not parsed.explain and not isinstance(parsed.statement, ir.Select | ir.Union):
        session.require("writer", "query")
        key = session.key()
    result = session.db.query(body.statement, revive(body.parameters), key=key)
    if result.changed is not None:
        return answer({"changed": result.changed})
    rows = [[plain(value) for value in row] for row in result.rows]
    return answer({"columns": result.columns, "rows": rows})


@router.post("/_explain", response_model=answers.Explained)
def explain(session: Reader, body: Statement) -> Response:
    """How a statement would find its documents, and whether it writes; nothing is written."""
    prepared = prepare(body.statement)
    statement, parameters = prepared.parsed.statement, revive(body.parameters)
    writes = not prepared.parsed.explain and not isinstance(statement, ir.Select | ir.Union)
    if isinstance(statement, ir.Insert):
        bound(prepared.parsed, parameters)
        return answer({"plan": [], "writes": writes})
    return answer({"plan": session.db.explain(body.statement, parameters), "writes": writes})


@router.post("/{collection}/_search", response_model=answers.Hits)
def search(session: Reader, collection: CollectionName, body: Search) -> Response:
    """The documents that fit best, and why each was found."""
    given = {name: getattr(body, name) for name in Search.model_fields if name != "near"}
    if body.near is not None:
        if body.vector is not None:
            raise RequestError(400, "both near and a vector are given", hint="one of them")
        given["vector"] = session.server.vector_of(body.near)
    hits = session.collection(collection).search(**given | {"parameters": revive(body.parameters)})
    return answer({"hits": [_hit_json(hit) for hit in hits]})


def _hit_json(hit: Hit) -> dict[str, Any]:
    snippet = None if hit.snippet is None else asdict(hit.snippet)
    return {"score": hit.score, "why": hit.why, "snippet": snippet, "document": document_json(hit.document)}
