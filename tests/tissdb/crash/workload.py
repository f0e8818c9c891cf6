"""What is done to a database while the power is cut: everything that writes, one thing after the other."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import quanta_tissu.tissdb.sqlite.backend as sqlite_backend
from quanta_tissu.tissdb import Database
from quanta_tissu.tissdb.sqlite.backend import SqliteBackend
from quanta_tissu.tissdb.sqlite.protection import Secret, cipher_layer

State = dict[str, dict[str, Any]]
"""Documents by collection and id."""

NAME = "test.db"


class Workload:
    """Random operations and the states that they lead to, each one transaction.

    Args:
        seed: Of the choice.
        done: Called when an operation was acknowledged.

    Attributes:
        states: Before the first operation, and after every one.
    """

    def __init__(self, seed: int, done: Callable[[], None]) -> None:
        self._random = random.Random(seed)
        self._done = done
        self.states: list[State] = [{}]

    def run(self, db: Database, count: int) -> None:
        """Do some operations."""
        self._step(self._set_up, db)
        for number in range(count):
            kinds = [self._insert, self._many, self._patch, self._replace, self._delete, self._transaction]
            # Rarer: what rewrites much of the file.
            kinds = kinds * 3 + [self._checkpoint, self._compact, self._index, self._drop, self._keyed]
            self._step(self._random.choice(kinds), db, number)

    def _step(self, operation: Callable[..., State | None], db: Database, number: int = 0) -> None:
        state = {name: dict(documents) for name, documents in self.states[-1].items()}
        changed = operation(db, state, number)
        self.states.append(state if changed is None else changed)
        self._done()

    def _set_up(self, db: Database, state: State, number: int) -> None:
        with db.transaction() as tx:
            tx["a"].create_index("words", kind="text", fields="text")
            tx["a"].create_index("near", kind="vector", dimension=8)
            tx["a"].create_index("n", kind="unique")
        state["a"] = {}

    def _document(self, number: int) -> dict[str, Any]:
        words = " ".join(
            self._random.choices(["alpha", "beta", "gamma", "delta", "epsilon"], k=self._random.randint(1, 60))
        )
        return {"n": number, "text": words}

    def _vectors(self) -> dict[str, list[float]]:
        return {"near": [self._random.random() + 0.1 for _ in range(8)]}

    def _insert(self, db: Database, state: State, number: int) -> None:
        document = self._document(number)
        db["a"].insert(document, id=f"i{number}", vectors=self._vectors())
        state["a"][f"i{number}"] = document

    def _many(self, db: Database, state: State, number: int) -> None:
        documents = {f"m{number}-{n}": self._document(number * 1000 + n + 1000) for n in range(20)}
        db["a"].insert_many({"_id": id} | document for id, document in documents.items())
        state["a"] |= documents

    def _some(self, state: State) -> str | None:
        return self._random.choice(sorted(state["a"])) if state["a"] else None

    def _patch(self, db: Database, state: State, number: int) -> None:
        if id := self._some(state):
            db["a"].patch(id, {"text": f"patched {number}"}, vectors=self._vectors())
            state["a"][id] = state["a"][id] | {"text": f"patched {number}"}

    def _replace(self, db: Database, state: State, number: int) -> None:
        if id := self._some(state):
            document = self._document(number + 500)
            db["a"].replace(id, document)
            state["a"][id] = document

    def _delete(self, db: Database, state: State, number: int) -> None:
        if id := self._some(state):
            db["a"].delete(id)
            del state["a"][id]

    def _transaction(self, db: Database, state: State, number: int) -> None:
        with db.transaction() as tx:
            for name in ("b", "c"):
                tx[name].insert({"number": number}, id=f"t{number}")
                state.setdefault(name, {})[f"t{number}"] = {"number": number}
            if id := self._some(state):
                tx["a"].delete(id)
                del state["a"][id]

    def _keyed(self, db: Database, state: State, number: int) -> None:
        for _ in range(2):
            db["k"].insert({"number": number}, id=f"k{number}", key=f"key {number}")
        state.setdefault("k", {})[f"k{number}"] = {"number": number}

    def _index(self, db: Database, state: State, number: int) -> None:
        db["a"].create_index(f"index{number}", fields="text", kind=self._random.choice(["value", "text"]))

    def _drop(self, db: Database, state: State, number: int) -> None:
        if "b" in state:
            db.drop_collection("b")
            del state["b"]

    def _checkpoint(self, db: Database, state: State, number: int) -> None:
        db._backend.maintain()

    def _compact(self, db: Database, state: State, number: int) -> None:
        db.compact()


def open_on(folder: Path, layer: str, secret: Secret | None = None) -> Database:
    """A database whose files go through a file layer, with checkpoints as soon as there is anything."""
    sqlite_backend._CHECKPOINT_BYTES = 1
    vfs = layer if secret is None else cipher_layer(layer)
    return Database(SqliteBackend(folder / NAME, vfs=vfs, busy_timeout=1, secret=secret))


def state_of(db: Database) -> State:
    """All documents."""
    return {name: {document.id: document.value for document in db[name]} for name in db.collections()}
