"""Rules about documents, collections, indexes, transactions and views: after each, database and model agree."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb import documents
from quanta_tissu.tissdb.collection import Collection
from quanta_tissu.tissdb.documents import NewDocument, Written
from tests.tissdb.machine.awaited import Awaited, open_awaited
from tests.tissdb.machine.comparing import compare_vectors, exact, plain
from tests.tissdb.machine.finding import WORDS
from tests.tissdb.machine.model import SCHEMA, Held, Model, RefusedError

NAMES = ("cities", "notes")
IDS = ("a", "b", "ä", "d/e")
INDEXES = ("words", "near", "one", "two")

UNIQUES = [None, 0, 1, 1.0, True, "1", "", "ä", [1], {"k": 1}, dt.date(2026, 1, 1), b"1"]
NUMBERS = [0, 1, 2, -3, 2.0, 0.5, 2**53 + 1, True, "many", None]

names, ids, index_names = st.sampled_from(NAMES), st.sampled_from(IDS), st.sampled_from(INDEXES)
texts = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
moments = st.sampled_from([None] * 5 + [-1, 1, 60, 100_000])
"""Seconds from now to expiry."""
coordinates = st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5]), min_size=3, max_size=3)
usual = st.fixed_dictionaries(
    {"title": texts, "n": st.sampled_from([0, 1, 2, -3, 2.0, 0.5])},
    optional={
        "u": st.sampled_from(UNIQUES),
        "body": st.lists(texts, max_size=2) | texts,
        "x": st.sampled_from([{"y": 1}, {"y": None}, {"y": "ant"}, 3, []]),
    },
)
unusual = st.fixed_dictionaries({"n": st.sampled_from(NUMBERS)}, optional={"u": st.sampled_from(UNIQUES)})
extreme = st.sampled_from(
    [{"_rev": 1}, {}, {"x": {"y": {"z": [1, {"w": 2**63 - 1}]}}}, {"title": "ant " * 600}, {"title": 7}]
)
values = st.integers(0, 9).flatmap(lambda n: extreme if n == 0 else unusual if n < 3 else usual)
settings_of_collections = st.sampled_from([{}, {}, {"schema": SCHEMA}, {"ttl": 50.0}])
index_kinds = st.one_of(
    st.fixed_dictionaries({"kind": st.just("value"), "fields": st.sampled_from([("n",), ("u",), ("title", "n")])}),
    st.fixed_dictionaries({"kind": st.just("unique"), "fields": st.sampled_from([("u",), ("n", "u"), ("n",)])}),
    st.fixed_dictionaries(
        {
            "kind": st.just("text"),
            "fields": st.just(("title", "body")),
            "weights": st.sampled_from([None, [2.0, 1.0]]),
            "stemming": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("vector"),
            "dimension": st.sampled_from([2, 3]),
            "metric": st.sampled_from(["cosine", "dot", "l2"]),
            "storage": st.sampled_from(["float32", "int8"]),
        }
    ),
)

WORDS_INDEX = {"kind": "text", "fields": ("title", "body"), "weights": None, "stemming": True}


class Clock:
    """Stands still until it is told otherwise; in the place of the module `time` in `documents`."""

    def __init__(self) -> None:
        self.now = documents.now()

    def time_ns(self) -> int:
        return self.now * 1000


class UndoError(Exception):
    """Leaves a transaction or savepoint so that it is undone."""


class DocumentMachine(RuleBasedStateMachine):
    """A database and its model.

    Attributes:
        models: What is committed, and on top of it what a transaction and each savepoint in it have made of it.
    """

    engine = "file"
    server = ""
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tissdb-machine-"))
        self.clock = Clock()
        self._time = documents.time
        documents.time = self.clock
        self.url = self.new_url()
        self.db = self.opened()
        self.models = [Model()]
        self.contexts: list[AbstractContextManager[Any]] = []
        self.transaction: tissdb.Transaction | None = None
        self.began = 0
        self.barred = False
        self.views: list[tuple[AbstractContextManager[tissdb.View], tissdb.View, Model]] = []

    def opened(self) -> tissdb.Database | Awaited:
        return open_awaited(self.url) if self.engine == "asyncio" else tissdb.open(self.url)

    def new_url(self) -> str:
        if self.engine == "postgres":
            return f"{self.server}&schema={self.folder.name.replace('-', '_').lower()}"
        return ":memory:" if self.engine == "memory" else str(self.folder / "one.db")

    def teardown(self) -> None:
        try:
            if self.transaction is not None:
                self.undo_all()
            self.close_views()
            self.db.close()
            if self.engine == "postgres":
                import psycopg

                with psycopg.connect(self.server, autocommit=True) as connection:
                    connection.execute(f"DROP SCHEMA {self.url.rsplit('=', 1)[1]} CASCADE")
        finally:
            documents.time = self._time
            shutil.rmtree(self.folder)

    @property
    def model(self) -> Model:
        return self.models[-1]

    @property
    def scope(self) -> tissdb.Database | tissdb.Transaction:
        return self.db if self.transaction is None else self.transaction

    @property
    def moment(self) -> int:
        """At which writes happen: all of a transaction when it began."""
        return self.clock.now if self.transaction is None else self.began

    @property
    def alone(self) -> bool:
        """Whether what needs the database for itself can be done."""
        return self.transaction is None and (self.engine != "postgres" or not self.views)

    def both(self, act: Callable[[], Any], expect: Callable[[Model], Any]) -> Any:
        """Do the same to the database and to the model: they give the same, or refuse it for the same reason."""
        trial, wanted, kinds = self.model.copy(), None, ()
        try:
            wanted = expect(trial)
        except RefusedError as refused:
            kinds = refused.kinds
        if kinds:
            with pytest.raises(kinds) as caught:
                act()
            assert caught.type in kinds  # and not one below them
            return None
        found = act()
        self.models[-1] = trial
        assert plain(found) == wanted
        return found

    def expiry(self, seconds: float | None) -> tuple[dt.timedelta | None, int | None]:
        """As it is given, and as it is stored."""
        if seconds is None:
            return None, None
        return dt.timedelta(seconds=seconds), self.clock.now + round(seconds * 1e6)

    def vectors_for(self, name: str, numbers: list[float] | None, wrong: bool) -> dict[str, list[float]] | None:
        """A vector for each vector index of a collection."""
        if numbers is None:
            return None
        held = self.model.collections.get(name, Held({}))
        fitting = {index: numbers[: said["dimension"]] for index, said in held.of_kind("vector")}
        return {**fitting, "nowhere": numbers} if wrong else fitting

    # Writes.

    @initialize(
        name=names,
        news=st.lists(st.tuples(usual, st.none() | coordinates), max_size=8),
        words=st.booleans(),
        metric=st.sampled_from([None, "cosine", "dot", "l2"]),
    )
    def fill(self, name, news, words, metric):
        """Something to begin with, so that changes and searches have something to find."""
        if words:
            self.create_index(name, "words", dict(WORDS_INDEX))
        if metric is not None:
            said = {"kind": "vector", "dimension": 3, "metric": metric, "storage": "float32"}
            self.create_index(name, "near", said)
        for id, (value, numbers) in zip((*IDS, "e", "f", "g", "h"), news, strict=False):
            vectors = numbers if numbers and any(numbers) else None
            self.insert(name, id, value, vectors, False, None, None)

    @rule(
        name=names,
        id=ids,
        value=values,
        numbers=st.none() | coordinates,
        wrong=st.integers(0, 15).map(lambda n: n == 0),
        seconds=moments,
        key=st.sampled_from([None, None, "i1", "i2"]),
    )
    def insert(self, name, id, value, numbers, wrong, seconds, key):
        vectors = self.vectors_for(name, numbers, wrong)
        expires, stored = self.expiry(seconds)
        moment = self.moment
        self.both(
            lambda: [self.scope[name].insert(value, id=id, vectors=vectors, expires=expires, key=key)],
            lambda model: model.once(
                key, f"insert {name}", moment, lambda: model.insert(name, [(id, value, vectors, stored)], moment)
            ),
        )

    @rule(name=names, value=values)
    def insert_under_a_new_id(self, name, value):
        try:
            outcome: Any = self.scope[name].insert(value)
        except DatabaseError as error:
            outcome = error
        id = outcome.id if isinstance(outcome, Written) else "never stored"
        moment = self.moment

        def again() -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return [outcome]

        self.both(again, lambda model: model.insert(name, [(id, value, None, None)], moment))

    @rule(
        name=names,
        news=st.lists(st.tuples(ids, values, st.none() | coordinates), max_size=3),
        seconds=moments,
        key=st.sampled_from([None, "m1"]),
    )
    def insert_many(self, name, news, seconds, key):
        expires, stored = self.expiry(seconds)
        moment = self.moment
        made, rows = [], []
        for place, (id, value, numbers) in enumerate(news):
            vectors = self.vectors_for(name, numbers, False)
            rows.append((id, value, vectors, stored))
            if place % 2 and not any(field.startswith("_") for field in value):
                made.append({"_id": id, **value} | ({"_vectors": vectors} if vectors else {}))
            else:
                made.append(NewDocument(id, value, vectors or {}, stored))
        self.both(
            lambda: self.scope[name].insert_many(made, expires=expires, key=key),
            lambda model: (
                model.once(key and f"{key}#0", f"insert {name}", moment, lambda: model.insert(name, rows, moment))
                if rows
                else []
            ),
        )

    @rule(
        name=names,
        id=ids,
        value=values,
        patch=st.booleans(),
        stale=st.sampled_from([None, None, 0, 1]),
        numbers=st.none() | coordinates,
        wrong=st.integers(0, 15).map(lambda n: n == 0),
        seconds=moments,
        key=st.sampled_from([None, None, "c1", "c2"]),
    )
    def change(self, name, id, value, patch, stale, numbers, wrong, seconds, key):
        vectors = self.vectors_for(name, numbers, wrong)
        expires, stored = self.expiry(seconds)
        moment, revision = self.moment, self.revision_of(name, id, stale)
        options = {"revision": revision, "vectors": vectors, "key": key}

        def expect(model: Model) -> Any:
            said = {"revision": revision, "vectors": vectors, "expires": stored}
            if patch:
                return model.patch(name, id, value, moment, **said)
            return model.change(name, id, "replace", lambda old: value, moment, **said)

        collection = self.scope[name]
        change = collection.patch if patch else collection.replace
        self.both(
            lambda: change(id, value, expires=expires, **options),
            lambda model: model.once(key, f"{change.__name__} {name} {id}", moment, lambda: expect(model)),
        )

    @rule(
        name=names,
        id=ids,
        value=values,
        numbers=st.none() | coordinates,
        seconds=moments,
        key=st.sampled_from([None, None, "s1", "s2"]),
    )
    def upsert(self, name, id, value, numbers, seconds, key):
        vectors = self.vectors_for(name, numbers, False)
        expires, stored = self.expiry(seconds)
        moment = self.moment
        self.both(
            lambda: self.scope[name].upsert(id, value, vectors=vectors, expires=expires, key=key),
            lambda model: model.once(
                key,
                f"upsert {name} {id}",
                moment,
                lambda: model.upsert(name, id, value, moment, vectors, stored),
            ),
        )

    @rule(name=names, id=ids, stale=st.sampled_from([None, None, 0, 1]), key=st.sampled_from([None, "d1", "d2"]))
    def delete(self, name, id, stale, key):
        moment, revision = self.moment, self.revision_of(name, id, stale)
        self.both(
            lambda: self.scope[name].delete(id, revision=revision, key=key),
            lambda model: model.once(
                key, f"delete {name} {id}", moment, lambda: model.delete(name, id, moment, revision)
            ),
        )

    def revision_of(self, name: str, id: str, stale: int | None) -> int | None:
        """The revision of a document, or one before; None for none."""
        held = self.model.collections.get(name)
        stored = None if held is None else held.documents.get(id)
        return None if stale is None else (stored.revision if stored else 1) - stale

    # Collections and indexes.

    @precondition(lambda self: self.transaction is None)
    @rule(name=names, settings=settings_of_collections)
    def create_collection(self, name, settings):
        self.both(
            lambda: self.db.create_collection(name, **settings),
            lambda model: model.create_collection(name, settings),
        )

    @precondition(lambda self: self.alone)
    @rule(name=names, sure=st.integers(0, 9))
    def drop_collection(self, name, sure):
        if not sure:
            self.both(lambda: self.db.drop_collection(name), lambda model: model.drop_collection(name))

    @rule(name=names, index=index_names, said=index_kinds)
    def create_index(self, name, index, said):
        moment = self.moment
        options = {key: value for key, value in said.items() if not (key == "weights" and value is None)}
        self.both(
            lambda: self.scope[name].create_index(index, **options),
            lambda model: model.create_index(name, index, moment=moment, **said),
        )

    @precondition(lambda self: self.engine != "postgres" or not self.views)
    @rule(name=names, index=index_names)
    def drop_index(self, name, index):
        self.barred = self.barred or self.transaction is not None
        self.both(lambda: self.scope[name].drop_index(index), lambda model: model.drop_index(name, index))

    # Transactions and views.

    @precondition(lambda self: self.transaction is None)
    @rule()
    def begin(self):
        self.began, self.barred = self.clock.now, False
        context = self.db.transaction()
        self.transaction = context.__enter__()
        self.contexts.append(context)
        self.models.append(self.model.copy())

    @precondition(lambda self: self.transaction is not None and len(self.contexts) < 4)
    @rule()
    def begin_savepoint(self):
        context = self.transaction.savepoint()
        context.__enter__()
        self.contexts.append(context)
        self.models.append(self.model.copy())

    @precondition(lambda self: len(self.contexts) > 1)
    @rule(keep=st.booleans())
    def end_savepoint(self, keep):
        self.leave(keep)

    @precondition(lambda self: self.transaction is not None)
    @rule(keep=st.sampled_from([True, True, False]))
    def end(self, keep):
        if not keep:
            self.undo_all()
            return
        while self.contexts:
            self.leave(True)
        self.transaction = None

    def leave(self, keep: bool) -> None:
        context, made = self.contexts.pop(), self.models.pop()
        if keep:
            assert not context.__exit__(None, None, None)
            self.models[-1] = made
            return
        error = UndoError()
        with suppress(UndoError):
            assert not context.__exit__(UndoError, error, None)

    def undo_all(self) -> None:
        while self.contexts:
            self.leave(False)
        self.transaction = None

    @precondition(lambda self: self.transaction is not None and self.engine != "asyncio")  # where it waits
    @rule(name=names)
    def write_beside_the_transaction(self, name):
        with pytest.raises(DatabaseError, match="inside a transaction"):
            self.db[name].insert({})

    @property
    def waits(self) -> bool:
        """Whether readers wait for the transaction: PostgreSQL lets them where an index is being dropped."""
        return self.engine == "postgres" and self.barred and self.transaction is not None

    @precondition(lambda self: len(self.views) < 2 and not self.waits)
    @rule()
    def open_view(self):
        context = self.db.view()
        self.views.append((context, context.__enter__(), self.models[0].copy()))

    @precondition(lambda self: self.views)
    @rule()
    def close_view(self):
        self.views.pop(0)[0].__exit__(None, None, None)

    def close_views(self) -> None:
        while self.views:
            self.close_view()

    @rule(seconds=st.sampled_from([0] * 6 + [1, 1, 55, 3600, 8 * 24 * 3600]))
    def wait(self, seconds):
        self.clock.now += seconds * 1_000_000 + 1

    @precondition(lambda self: self.transaction is None)
    @rule()
    def sweep(self):
        moment = self.clock.now
        self.both(lambda: self.db.sweep(), lambda model: model.sweep(moment))

    # What holds at all times.

    @invariant()
    def agrees(self):
        self.compare(self.scope, self.model)
        if self.transaction is not None and not self.waits:
            self.compare(self.db, self.models[0])
        for _, view, model in self.views:
            self.compare(view, model)
        if self.transaction is None:
            assert self.db.collections() == sorted(self.model.collections)

    @invariant()
    def is_in_order(self):
        type(self).steps += 1
        if self.transaction is None:
            assert self.db.check() == []
            report = self.db.verify_log()
            assert (report.ok, report.entries) == (True, len(self.model.log))

    def compare(self, scope: tissdb.Database | tissdb.Transaction | tissdb.View, model: Model) -> None:
        for name in NAMES:
            held = model.collections.get(name, Held({}))
            self.compare_collection(scope[name], held)

    def compare_collection(self, collection: Collection, held: Held) -> None:
        living = held.living(self.clock.now)
        assert [exact(one) for one in collection.scan()] == [exact(one.document) for one in living]
        assert len(collection) == len(living)
        assert {name: index.kind for name, index in collection.indexes.items()} == {
            name: said["kind"] for name, said in held.indexes.items()
        }
        for id in IDS:
            found = collection.get(id)
            stored = held.documents.get(id)
            there = stored is not None and stored.lives(self.clock.now)
            assert (found and exact(found)) == (exact(stored.document) if stored and there else None)
        if any(held.of_kind("vector")):
            for (_, vectors), stored in zip(collection.scan_with_vectors(), living, strict=True):
                compare_vectors(held, stored, vectors)
