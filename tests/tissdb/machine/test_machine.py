"""Whatever is done to a database, in whatever order, it does what a model in dicts does: on every engine.

`python -m tests.tissdb.machine.campaign --minutes 20` tries for longer.
"""

from __future__ import annotations

import importlib

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.documents import Changes
from quanta_tissu.tissdb.search import hybrid
from quanta_tissu.tissdb.transaction import Transaction
from tests.tissdb.machine.campaign import machine, profile


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "runs"), [("file", 12), ("memory", 8), ("postgres", 6), ("asyncio", 6)])
def test_a_database_does_what_its_model_does(engine, runs, request):
    server = request.getfixturevalue("postgres_server") if engine == "postgres" else ""
    run_state_machine_as_test(seed(1)(machine(engine, server)), settings=profile(runs, 40))


def _one_fewer(*arguments):
    return hybrid.search(*arguments)[1:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "name", "wrong"),
    [
        (Changes, "exists", lambda changes, info, id: False),
        (Changes, "expire", lambda changes, info: 0),
        ("quanta_tissu.tissdb.finding", "search", _one_fewer),
        (Transaction, "find", lambda transaction, connection, catalog, name: None),
        ("quanta_tissu.tissdb.tissql.write", "_set", lambda document, path, value: None),
    ],
)
def test_what_is_wrong_is_noticed(monkeypatch, where, name, wrong):
    monkeypatch.setattr(importlib.import_module(where) if isinstance(where, str) else where, name, wrong)
    without_shrinking = settings(profile(240, 40), phases=[Phase.generate])
    with pytest.raises((AssertionError, DatabaseError, ExceptionGroup)):
        run_state_machine_as_test(seed(1)(machine("memory", "")), settings=without_shrinking)
