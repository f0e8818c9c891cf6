"""Transactions: begun, filled, and committed or rolled back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from quanta_tissu.tissdb.server import answers
from quanta_tissu.tissdb.server.routes.common import Body, Writer, answer
from quanta_tissu.tissdb.server.transactions import Operation, commit, no_transaction

router = APIRouter(prefix="/v1/{database}", tags=["transactions"])


class Operations(Body):
    """Operations, in their order."""

    operations: Annotated[list[Operation], Field(max_length=10_000)]


@router.post("/_begin", status_code=201, response_model=answers.Begun)
def begin(session: Writer) -> Response:
    """Begin a transaction; it is forgotten after some time without a word."""
    id = session.server.transactions.begin(session.token.id, session.database)
    return answer({"transaction": id, "timeout": session.server.settings.transaction_timeout}, 201)


@router.post("/_transactions/{transaction}", response_model=answers.Added)
def add(session: Writer, transaction: str, body: Operations, request: Request) -> Response:
    """Add operations; nothing of them happens before the commit."""
    size = int(request.headers.get("content-length", 0))
    count = session.server.transactions.add(transaction, session.token.id, session.database, body.operations, size)
    return answer({"operations": count})


@router.post("/_transactions/{transaction}/_commit", response_model=answers.Committed)
def commit_transaction(session: Writer, transaction: str) -> Response:
    """Do all of its operations, or, at the first that cannot be done, none.

    Asked again it answers as before, so that a lost answer is no harm.
    """
    operations = session.server.transactions.take(transaction, session.token.id, session.database)
    key = session.key_for(f"transaction {transaction}")
    return answer({"results": commit(session.db, operations, transaction, key)})


@router.post("/_transactions/{transaction}/_rollback", response_model=answers.RolledBack)
def roll_back(session: Writer, transaction: str) -> Response:
    """Forget it."""
    if session.server.transactions.take(transaction, session.token.id, session.database) is None:
        raise no_transaction(transaction)
    return answer({"rolled_back": transaction})
