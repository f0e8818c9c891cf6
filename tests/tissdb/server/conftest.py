"""A server with databases of its own, and clients of several roles."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.server.app import create_app
from quanta_tissu.tissdb.server.settings import Settings
from quanta_tissu.tissdb.server.tokens import TokenFile


@pytest.fixture
def folder(tmp_path):
    """A folder with the database `work`, in which are some notes."""
    place = tmp_path / "databases"
    place.mkdir()
    with tissdb.open(place / "work.db") as db:
        db["notes"].create_index("words", kind="text", fields="title")
        db["notes"].insert({"title": "A first note", "stars": 3}, id="first")
    return place


@pytest.fixture
def serving(folder):
    """Start a server of the folder, or of another place: `serving(rate=2)` gives a client of it."""
    opened = []

    def start(place=folder, **settings) -> TestClient:
        client = TestClient(create_app(str(place), Settings(**settings)), base_url="http://localhost")
        opened.append(client)
        return client.__enter__()

    yield start
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serving):
    """A client of a server without tokens."""
    return serving()


@pytest.fixture
def tokens(tmp_path):
    """A file of tokens."""
    return TokenFile(tmp_path / "tokens.json")


@pytest.fixture
def as_role(serving, tokens):
    """Headers of clients with a role for `work`: `as_role("reader")`."""

    def headers(role: str, database: str = "work") -> dict[str, str]:
        return {"Authorization": f"Bearer {tokens.add(f'a {role} of {database}', {database: role})}"}

    return headers
