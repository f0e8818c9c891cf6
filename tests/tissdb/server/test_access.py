"""Tokens, roles, rates and sizes."""

from __future__ import annotations

import json
import stat

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import ConflictError, DatabaseError, NotFoundError
from quanta_tissu.tissdb.server.limits import RateLimit
from quanta_tissu.tissdb.server.tokens import TokenFile

WRITES = [
    ("POST", "/v1/work/notes"),
    ("PUT", "/v1/work/notes/documents/a"),
    ("DELETE", "/v1/work/notes/documents/a"),
]
ADMINISTRATION = [
    ("PUT", "/v1/work/more"),
    ("DELETE", "/v1/work/notes"),
    ("PUT", "/v1/work/notes/_index/n"),
    ("DELETE", "/v1/work/notes/_index/words"),
    ("GET", "/v1/work/_log"),
    ("PUT", "/v1/work"),
]


@pytest.fixture
def guarded(serving, tokens, as_role):
    """A server with tokens."""
    as_role("reader", "other")
    return serving(tokens=tokens._path)


def test_without_a_token_nothing_is_said(guarded):
    answer = guarded.get("/v1/work")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer", "Bearer x", "Bearer tissu_x_y", "Basic abc"):
        assert guarded.get("/v1/work", headers={"Authorization": wrong}).status_code == 401
    assert guarded.get("/v1/_health").status_code == 200
    assert guarded.get("/v1/_metrics").status_code == 401


def test_a_reader_reads(guarded, as_role):
    headers = as_role("reader")
    assert guarded.get("/v1/work/notes/documents/first", headers=headers).status_code == 200
    statement = {"statement": "SELECT title FROM notes"}
    assert guarded.post("/v1/work/_query", json=statement, headers=headers).status_code == 200
    for method, url in WRITES + ADMINISTRATION:
        assert guarded.request(method, url, json={}, headers=headers).status_code == 403
    for statement in ("DELETE FROM notes", "UPDATE notes SET a = 1", "INSERT INTO notes (a) VALUES (1)"):
        said = guarded.post("/v1/work/_query", json={"statement": statement}, headers=headers)
        assert said.status_code == 403
    assert guarded.post("/v1/work/_begin", headers=headers).status_code == 403
    assert guarded.post("/v1/work/notes/_bulk", content="{}", headers=headers).status_code == 403
    assert guarded.get("/v1/work/notes", headers=headers).json()["documents"] == 1


def test_a_writer_writes_and_does_not_administrate(guarded, as_role):
    headers = as_role("writer")
    for method, url in WRITES:
        assert guarded.request(method, url, json={}, headers=headers).status_code in (200, 201)
    for method, url in ADMINISTRATION:
        assert guarded.request(method, url, json={}, headers=headers).status_code == 403


def test_an_admin_does_everything_in_its_database_only(guarded, as_role):
    headers = as_role("admin")
    assert guarded.put("/v1/work/more", json={}, headers=headers).status_code == 200
    assert guarded.put("/v1/other", headers=headers).status_code == 403
    assert guarded.get("/v1/other", headers=headers).status_code == 403
    assert guarded.get("/v1/_databases", headers=headers).json()["databases"] == ["work"]
    assert guarded.get("/v1/_metrics", headers=headers).status_code == 403
    assert guarded.get("/v1/_metrics", headers=as_role("reader", "*")).status_code == 200


def test_who_did_and_who_was_refused_is_in_the_log(guarded, as_role, folder):
    reader, writer = as_role("reader"), as_role("writer")
    guarded.put("/v1/work/notes/documents/a", json={}, headers=writer)
    guarded.put("/v1/work/notes/documents/b", json={}, headers=reader)
    guarded.post("/v1/work/_query", json={"statement": "DELETE FROM notes"}, headers=reader)
    with tissdb.open(folder / "work.db") as db:
        *_, done, refused, query = db.log()
        assert db.verify_log().ok
    assert (done.actor, done.action, done.ok) == ("a writer of work", "insert", True)
    assert (refused.actor, refused.ok, refused.collection, refused.id) == ("a reader of work", False, "notes", "b")
    assert refused.action == "PUT /v1/{database}/{collection}/documents/{id:path}"
    assert json.loads(query.detail) == {"why": "needs the role writer"}


def test_a_revoked_token_ends_at_once(guarded, tokens):
    headers = {"Authorization": f"Bearer {tokens.add('ada', {'work': 'reader'})}"}
    assert guarded.get("/v1/_token", headers=headers).json()["grants"] == {"work": "reader"}
    TokenFile(tokens._path).revoke("ada")
    assert guarded.get("/v1/_token", headers=headers).status_code == 401


def test_keys_of_one_client_are_not_those_of_another(guarded, as_role, tokens):
    key = {"Idempotency-Key": "k"}
    bob = {"Authorization": f"Bearer {tokens.add('bob', {'work': 'writer'})}"}
    first = guarded.post("/v1/work/notes", json={}, headers=as_role("writer") | key).json()
    assert guarded.post("/v1/work/notes", json={}, headers=bob | key).json() != first


class TestTokenFile:
    def test_it_holds_hashes_and_is_its_owners(self, tokens):
        text = tokens.add("ada", {"work": "writer", "*": "reader"})
        assert text.rpartition("_")[2] not in tokens._path.read_text()
        assert stat.S_IMODE(tokens._path.stat().st_mode) == 0o600
        found = tokens.find(text)
        assert found.allows("work", "writer")
        assert found.allows("any", "reader")
        assert not found.allows("any", "writer")
        assert tokens.find(text[:-1]) is None

    def test_a_token_expires(self, tokens, monkeypatch):
        text = tokens.add("ada", {"work": "reader"}, lifetime=60)
        assert tokens.find(text) is not None
        now = tokens.tokens()[0].expires
        monkeypatch.setattr("time.time", lambda: now)
        assert tokens.find(text) is None

    @pytest.mark.parametrize(
        ("name", "grants", "lifetime"),
        [
            ("", {"a": "reader"}, None),
            ("a\n", {"a": "reader"}, None),
            ("a", {}, None),
            ("a", {"a": "king"}, None),
            ("a", {"a": "reader"}, 0),
        ],
    )
    def test_what_is_wrong_is_refused(self, tokens, name, grants, lifetime):
        with pytest.raises(DatabaseError):
            tokens.add(name, grants, lifetime=lifetime)

    def test_names_are_unique(self, tokens):
        tokens.add("ada", {"a": "reader"})
        with pytest.raises(ConflictError, match="ada"):
            tokens.add("ada", {"a": "reader"})
        with pytest.raises(NotFoundError, match="bob"):
            tokens.revoke("bob")

    @pytest.mark.parametrize("content", [None, "{", "[]", '{"tokens": [{"id": 1}]}'])
    def test_another_file_is_refused(self, tokens, content):
        if content is not None:
            tokens._path.write_text(content)
        with pytest.raises(DatabaseError):
            tokens.tokens()

    def test_a_folder_that_is_not_there_is_said(self, tmp_path):
        with pytest.raises(DatabaseError, match="cannot be written"):
            TokenFile(tmp_path / "none" / "tokens.json").add("a", {"a": "reader"})


class TestLimits:
    def test_who_asks_too_often_waits(self, serving):
        client = serving(rate=0.001, burst=2)
        assert [client.get("/v1/work").status_code for _ in range(3)] == [200, 200, 429]
        refused = client.get("/v1/work")
        assert int(refused.headers["retry-after"]) > 1
        assert refused.json()["error"]["message"] == "too many requests"

    def test_a_rate_lets_through_what_it_says(self, monkeypatch):
        clock = [0.0]
        monkeypatch.setattr("time.monotonic", lambda: clock[0])
        limit = RateLimit(10.0, 3)
        assert [limit.wait("a") for _ in range(3)] == [0, 0, 0]
        assert limit.wait("a") == pytest.approx(0.1)
        assert limit.wait("b") == 0
        clock[0] = 0.1
        assert limit.wait("a") == 0
        assert limit.wait("a") > 0

    def test_a_body_that_is_too_large_is_refused(self, serving):
        client = serving(max_body=1000)
        for body in ("x" * 2000, (b"x" * 100 for _ in range(20))):
            answer = client.post("/v1/work/notes", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 413
            assert "request" in answer.json()["error"]
        lines = "".join(f'{{"n": {n}}}\n' for n in range(500))
        assert client.post("/v1/work/notes/_bulk", content=lines).json() == {"stored": 500}


class TestStrangers:
    def test_pages_of_other_sites_are_refused(self, client):
        headers = {"Origin": "https://evil.example"}
        assert client.get("/v1/work", headers=headers).status_code == 403
        assert client.get("/v1/work", headers={"Origin": "http://localhost"}).status_code == 200

    def test_without_tokens_other_names_of_this_machine_are_refused(self, client):
        assert client.get("/v1/work", headers={"Host": "evil.example"}).status_code == 403

    def test_with_tokens_every_name_is_good(self, guarded, as_role):
        assert guarded.get("/v1/work", headers={"Host": "db.example"} | as_role("reader")).status_code == 200
