"""Whatever is done to a database, in whatever order, it does what a model in dicts does: on every engine.

`python -m tests.tissdb.machine.campaign --minutes 20` tries for longer.
"""

from __future__ import annotations

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from tests.tissdb.machine.campaign import machine, profile


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "runs"), [("file", 12), ("memory", 8), ("postgres", 6)])
def test_a_database_does_what_its_model_does(engine, runs, request):
    server = request.getfixturevalue("postgres_server") if engine == "postgres" else ""
    run_state_machine_as_test(seed(1)(machine(engine, server)), settings=profile(runs, 40))
