"""Fixtures for memory: a database on every engine, and vectors made by spelling."""

from __future__ import annotations

import datetime as dt

import pytest

from quanta_tissu.knowledge import NgramEmbedder


@pytest.fixture
def embedder():
    return NgramEmbedder(256)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += dt.timedelta(days=days)


@pytest.fixture
def clock():
    return Clock()
