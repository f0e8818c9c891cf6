"""Fixtures for knowledge: a database in memory, and a base whose vectors are made by spelling."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.knowledge import KnowledgeBase, NgramEmbedder

_engines = importlib.util.spec_from_file_location(
    "tissdb_engines", Path(__file__).parents[1] / "tissdb" / "conftest.py"
)
_module = importlib.util.module_from_spec(_engines)
_engines.loader.exec_module(_module)
postgres_server, postgres_url, url = _module.postgres_server, _module.postgres_url, _module.url


@pytest.fixture
def every_db(url):
    """A database on each engine in turn, for what must hold on all of them."""
    with tissdb.open(url, actor="tester") as opened:
        yield opened


@pytest.fixture
def db():
    with tissdb.open(":memory:") as opened:
        yield opened


@pytest.fixture
def kb(db):
    return KnowledgeBase(db, NgramEmbedder(), limit=40, overlap=8)


@pytest.fixture
def pypdf(unavailable):
    """What reads PDF; its tests skip with the reason where it is absent, and fail in CI."""
    if importlib.util.find_spec("pypdf") is None:
        unavailable("pypdf is not installed (pip install pypdf)")
