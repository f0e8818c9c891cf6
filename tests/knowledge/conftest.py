"""Fixtures for knowledge: a database in memory, and a base whose vectors are made by spelling."""

from __future__ import annotations

import importlib.util

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.knowledge import KnowledgeBase, NgramEmbedder


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
