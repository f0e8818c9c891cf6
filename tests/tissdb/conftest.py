"""One suite for every engine: a test that asks for `db` runs on all of them."""

from __future__ import annotations

import pytest

import quanta_tissu.tissdb as tissdb


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    """Where a new database is to be: one address for each engine."""
    return ":memory:" if request.param == "memory" else tmp_path / "test.db"


@pytest.fixture
def db(url):
    """A new database."""
    with tissdb.open(url, actor="tester") as opened:
        yield opened


@pytest.fixture
def path(tmp_path):
    """A file for a database, for tests of what only files do."""
    return tmp_path / "test.db"
