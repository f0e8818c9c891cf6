"""Rules about the whole database: its log, copies in every form, and being closed and opened again."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.backup import restore
from quanta_tissu.tissdb.jsonl import export_lines, import_lines
from quanta_tissu.tissdb.log import Entry
from quanta_tissu.tissdb.values import text_of
from tests.tissdb.machine.asking import AskingMachine
from tests.tissdb.machine.awaited import blocking
from tests.tissdb.machine.comparing import compare_vectors
from tests.tissdb.machine.documents import NAMES, index_names, names
from tests.tissdb.machine.model import SCHEMA, Held, Stored


class WholeMachine(AskingMachine):
    """The machine that is run: all rules."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.numbers = itertools.count()

    @rule()
    def watch(self):
        entries = list(self.db.watch(self.seen, timeout=0))
        wanted = [entry for entry in list(enumerate(self.models[0].log, 1))[self.seen :] if entry[1][3]]
        assert [entry.seq for entry in entries] == [seq for seq, _ in wanted]
        assert in_order([said(entry) for entry in entries]) == in_order([entry for _, entry in wanted])
        self.seen = len(self.models[0].log)

    @rule(name=st.none() | names)
    def log(self, name):
        entries = [said(entry) for entry in self.db.log(collection=name)]
        assert in_order(entries) == in_order([one for one in self.models[0].log if name in (None, one[1])])

    @precondition(lambda self: self.transaction is None)
    @rule(
        name=names,
        wanted=st.fixed_dictionaries(
            {}, optional={"schema": st.sampled_from([None, SCHEMA]), "ttl": st.sampled_from([None, 5.0, 50.0])}
        ),
    )
    def alter_collection(self, name, wanted):
        moment = self.moment
        self.both(
            lambda: self.db.alter_collection(name, **wanted),
            lambda model: model.alter_collection(name, wanted, moment),
        )

    @precondition(lambda self: not self.waits)
    @rule(name=names, index=index_names, recall=st.sampled_from([0.5, 0.95, 1]))
    def tune_index(self, name, index, recall):
        self.both(
            lambda: self.scope[name].tune_index(index, recall=recall).search,
            lambda model: model.tune_index(name, index),
        )

    @precondition(lambda self: self.transaction is None)
    @rule(name=names)
    def log_refusal(self, name):
        self.db.log_refusal("drop collection", collection=name, why="no role for it")
        self.model.note("drop collection", name, ok=False)

    @precondition(lambda self: self.transaction is None and not self.views and self.engine != "memory")
    @rule()
    def reopen(self):
        self.db.close()
        self.db = self.opened()

    @precondition(lambda self: self.transaction is None and not self.views)
    @rule(sure=st.booleans())
    def compact(self, sure):
        if sure:
            self.db.compact()

    @precondition(lambda self: self.engine in ("file", "asyncio") and self.transaction is None)
    @rule()
    def back_up_and_restore(self):
        saved = self.folder / f"{next(self.numbers)}.backup"
        self.db.backup(saved)
        restored = saved.with_suffix(".db")
        restore(saved, restored)
        with tissdb.open(restored) as other:
            self.compare(other, self.models[0])
            assert (other.uuid, other.head()) == (self.db.uuid, self.db.head())
            assert other.check() == []
            other["notes"].insert({"after": "being restored"}, id="new")
        saved.unlink()
        restored.unlink()

    @precondition(lambda self: self.models[0].collections and not self.waits)
    @rule()
    def copy(self):
        with tissdb.open(":memory:") as other:
            tissdb.copy(blocking(self.db), other)
            self.compare_contents(other, self.models[0].collections)
            assert other.check() == []

    @rule(name=names)
    def export_and_import(self, name):
        held = self.model.collections.get(name, Held({}))
        lines = list(export_lines(blocking(self.scope[name])))
        with tissdb.open(":memory:") as other:
            for index, kind in held.indexes.items():
                options = {key: value for key, value in kind.items() if not (key == "weights" and value is None)}
                other[name].create_index(index, **options)
            living = held.living(self.clock.now)
            assert import_lines(other[name], lines, key="import") == len(lines) == len(living)
            assert import_lines(other[name], lines, key="import") == len(lines)
            self.compare_contents(other, {name: held})
            assert other.check() == []

    def compare_contents(self, other: tissdb.Database, collections: dict[str, Held]) -> None:
        """All but revisions and times, which are another database's own."""
        for name in NAMES:
            held = collections.get(name, Held({}))
            living = held.living(self.clock.now)
            found = list(other[name].scan_with_vectors())
            assert [content(one) for one, _ in found] == [content(one) for one in living]
            for (_, vectors), stored in zip(found, living, strict=True):
                compare_vectors(held, stored, vectors)


def content(document: tissdb.Document | Stored) -> tuple[str, int | None, str]:
    return document.id, document.expires, text_of(document.value)


def said(entry: Entry) -> tuple[str, str | None, str | None, bool]:
    return entry.action, entry.collection, entry.id, entry.ok


def in_order(entries):
    """Entries, those in a row that say which documents have expired in the order of their ids."""
    out = []
    for expired, group in itertools.groupby(entries, lambda one: one[0] == "expire"):
        found = list(group)
        out += sorted(found, key=str) if expired else found
    return out
