"""Finding documents: what a search may look at, why each hit is there, and how hits get into another order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from quanta_tissu.errors import DatabaseError, NotFoundError
from quanta_tissu.tissdb.audit import read_head
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.definitions import Catalog, CollectionInfo
from quanta_tissu.tissdb.documents import Document, now
from quanta_tissu.tissdb.scope import Scope
from quanta_tissu.tissdb.search.hybrid import Leg, Request, choose, search
from quanta_tissu.tissdb.search.query import parse_query
from quanta_tissu.tissdb.search.snippets import Snippet, snippets
from quanta_tissu.tissdb.tissql.parameters import Parameters
from quanta_tissu.tissdb.tissql.run import condition
from quanta_tissu.tissdb.values import Value

_RERANKED = 50
"""Hits that a reranker gets at least."""


def _no_snippet() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that a search has found, and why.

    Attributes:
        document: The document.
        score: Its score; higher is better, and comparable within one search only.
        text: Its place and score by words, if they found it.
        vector: Its place and score by nearness, if it found it.
        before: Its place before a reranker sorted the hits, if one did.
    """

    document: Document
    score: float
    text: Leg | None
    vector: Leg | None
    before: int | None = None
    make_snippet: Callable[[], Snippet | None] = field(default=_no_snippet, repr=False, compare=False)

    @property
    def snippet(self) -> Snippet | None:
        """The part of its text where the words stand, if they found it.

        It is made when it is asked for, which takes longer than finding the document did: by the words of the
        index, for which the database must still be open.
        """
        return self.make_snippet()

    @property
    def why(self) -> str:
        """In words: `words: place 1 (bm25 7.31); nearness: place 4 (cosine 0.812)`."""
        legs = (("words", self.text), ("nearness", self.vector))
        said = [f"{name}: place {leg.rank} ({leg.ranker} {leg.score:.4g})" for name, leg in legs if leg]
        if self.before is not None:
            said.append(f"reranked from place {self.before} ({self.score:.4g})")
        return "; ".join(said)


Reranker = Callable[[str, list[Hit]], list[float]]
"""Gives hits of a search for a text a score each; higher is better."""


def find(
    scope: Scope,
    connection: Connection,
    catalog: Catalog,
    collection: str,
    request: Request,
    where: str | None,
    parameters: Parameters,
    reranker: Reranker | None,
) -> list[Hit]:
    """As `Collection.search`.

    Args:
        scope: Where the collection is.
        connection: Sees one state throughout.
        catalog: Of this state.
        collection: Its name.
        request: What to search for.
        where: What suits, in TissQL.
        parameters: Of `where`.
        reranker: Sorts the hits.
    """
    info = scope.find(connection, catalog, collection)
    if info is None:
        raise NotFoundError(f"there is no collection {collection!r}", hint="insert something first")
    moment = now()
    if where is not None:
        request = replace(
            request, only=condition(scope, connection, catalog, collection, where, parameters, moment)
        )
    elif parameters:
        raise DatabaseError("there are parameters, but no condition", hint="where='price < ?'")
    k = request.k
    if reranker is not None:
        if request.text is None:
            raise DatabaseError("a reranker compares documents with a text", hint="give text, or no reranker")
        request = replace(request, k=max(k, _RERANKED) if isinstance(k, int) else k)
    found = search(connection, info, request, scope.vector_cache, read_head(connection).seq, moment)
    hits = []
    show = partial(_snippet, scope, info, request)
    for one in found:
        document = Document.of_row(one.row)
        make = _no_snippet if one.text is None else partial(show, document.value)
        hits.append(Hit(document, one.score, one.text, one.vector, make_snippet=make))
    return hits if reranker is None or request.text is None else _reranked(reranker, request.text, hits)[:k]


def _snippet(scope: Scope, info: CollectionInfo, request: Request, value: dict[str, Value]) -> Snippet | None:
    index, query = choose(info, "text", request.text_index), parse_query(request.text or "")

    def work(connection: Connection, catalog: Catalog) -> Snippet | None:
        [made] = snippets(connection, index, query, [value])
        return made

    return scope.read(work)


def _reranked(reranker: Reranker, text: str, hits: list[Hit]) -> list[Hit]:
    scores = [float(score) for score in reranker(text, list(hits))] if hits else []
    if len(scores) != len(hits) or not all(map(math.isfinite, scores)):
        raise DatabaseError(
            f"the reranker gave {len(scores)} scores for {len(hits)} hits, or one that is no number",
            hint="one finite number for each hit, in their order",
        )
    again = [
        replace(hit, score=score, before=place)
        for place, (hit, score) in enumerate(zip(hits, scores, strict=True), 1)
    ]
    return sorted(again, key=lambda hit: -hit.score)  # equal ones stay in order
