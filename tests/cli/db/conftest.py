"""A database with some notes, for commands to work on."""

from __future__ import annotations

import datetime as dt

import pytest

import quanta_tissu.tissdb as tissdb


@pytest.fixture
def notes(tmp_path) -> str:
    """A database with three notes, and an index of their words."""
    path = tmp_path / "notes.db"
    with tissdb.open(path) as db:
        db["notes"].create_index("words", kind="text", fields="title")
        db["notes"].insert({"title": "A first note", "stars": 3}, id="first")
        db["notes"].insert(
            {"title": "Second [bold]note[/bold]", "stars": 5, "day": dt.date(2026, 1, 1)}, id="second"
        )
        db["notes"].insert({"title": "Wholly else", "author": {"name": "Ada"}}, id="third")
    return str(path)


@pytest.fixture
def typed(monkeypatch):
    """Give the command standard input that is no terminal."""
    import io
    import sys

    def give(text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return give
