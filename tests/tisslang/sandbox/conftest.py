"""A project with something of every kind, and a step on a copy of it."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslang.sandbox import probe
from quanta_tissu.tisslang.sandbox.policy import Level
from quanta_tissu.tisslang.sandbox.transaction import Transaction
from tests.tisslang.sandbox.helper_coverage import noted_lines


@pytest.fixture(scope="session")
def every_level(unavailable):
    """Both sandboxes for commands work here; else a test is skipped, and fails in CI."""
    for level in (Level.LANDLOCK, Level.BWRAP):
        if (missing := probe.works(level)) is not None:
            unavailable(f"{missing.name}: {missing.detail}")


@pytest.fixture(scope="session", autouse=True)
def coverage_of_helpers(tmp_path_factory):
    """Where coverage is measured, that of the helper processes counts, too."""
    try:
        from coverage import Coverage
    except ModuleNotFoundError:
        measured = None
    else:
        measured = Coverage.current()
    if measured is None:
        yield
        return
    with noted_lines(tmp_path_factory.mktemp("coverage") / "lines") as found:
        yield
    measured.get_data().add_lines(found)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("a")
    (folder / "README").write_text("readme")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/a.py")
    (folder / ".git" / "hooks").mkdir(parents=True)
    (folder / ".git" / "config").write_text("[core]\n")
    (folder / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\n")
    return folder


@pytest.fixture
def scratch(root):
    return root / ".tissu" / "runs" / "1" / "scratch"


@pytest.fixture
def step(root, scratch):
    with Transaction.begin(root, scratch) as transaction:
        yield transaction
