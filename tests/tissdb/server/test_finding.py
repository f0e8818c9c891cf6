"""Queries, searches, collections, databases, changes."""

from __future__ import annotations

import json
import threading
import time

import pytest

WORK = "/v1/work"


def ask(client, statement, parameters=(), **more):
    return client.post(f"{WORK}/_query", json={"statement": statement, "parameters": parameters}, **more)


def test_queries_take_parameters_in_order_or_by_name(client):
    client.post(f"{WORK}/notes", json={"day": {"$date": "2026-01-01"}})
    assert ask(client, "SELECT title FROM notes WHERE stars = ?", [3]).json() == {
        "columns": ["title"],
        "rows": [["A first note"]],
    }
    found = ask(client, "SELECT day FROM notes WHERE day = :d", {"d": {"$date": "2026-01-01"}})
    assert found.json()["rows"] == [[{"$date": "2026-01-01"}]]


def test_statements_write_once_under_a_key(client):
    for _ in range(2):
        said = ask(client, "INSERT INTO notes (n) VALUES (1)", headers={"Idempotency-Key": "k"})
        assert said.json() == {"changed": 1}
    assert client.get(f"{WORK}/notes").json()["documents"] == 2


def test_a_wrong_statement_shows_the_place(client):
    answer = ask(client, "SELECT title\nFROM nowhere")
    assert answer.status_code == 400
    assert (answer.json()["error"]["line"], answer.json()["error"]["column"]) == (2, 6)
    assert ask(client, "SELECT a FROM notes WHERE a = ?").status_code == 400


@pytest.mark.parametrize(
    ("body", "path"),
    [({}, "statement"), ({"statement": 1}, "statement"), ({"statement": "x", "odd": 1}, "odd"), ([], "")],
)
def test_a_body_of_another_shape_is_refused(client, body, path):
    answer = client.post(f"{WORK}/_query", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["path"] == path


def test_search_finds_words(client):
    [hit] = client.post(f"{WORK}/notes/_search", json={"text": "first"}).json()["hits"]
    assert hit["document"]["_id"] == "first"
    assert hit["why"].startswith("words: place 1")
    assert client.post(f"{WORK}/notes/_search", json={}).status_code == 400
    assert client.post(f"{WORK}/none/_search", json={"text": "a"}).status_code == 404


def test_search_looks_where_a_condition_says(client):
    body = {"text": "first", "where": "stars = :n", "parameters": {"n": 3}}
    [hit] = client.post(f"{WORK}/notes/_search", json=body).json()["hits"]
    assert hit["snippet"] == {"field": "title", "text": "A first note", "spans": [[2, 7]]}
    body["parameters"] = {"n": 4}
    assert client.post(f"{WORK}/notes/_search", json=body).json()["hits"] == []
    body["where"] = "stars ="
    assert client.post(f"{WORK}/notes/_search", json=body).status_code == 400


def test_collections_and_indexes_are_made_described_and_dropped(client):
    settings = {"schema": {"required": ["mail"]}, "ttl": 60}
    assert client.put(f"{WORK}/people", json=settings).json()["ttl"] == 60
    assert client.put(f"{WORK}/people", json={"ttl": 61}).status_code == 409
    assert client.get(f"{WORK}/people/_schema").json() == {"required": ["mail"]}
    assert client.post(f"{WORK}/people", json={}).status_code == 422
    assert client.put(f"{WORK}/people/_index/mail", json={"kind": "unique"}).status_code == 201
    assert client.get(f"{WORK}/people/_index").json() == {"mail": {"kind": "unique", "fields": ["mail"]}}
    weighed = {"kind": "text", "fields": ["mail", "name"], "weights": [2.0, 1.0]}
    assert client.put(f"{WORK}/people/_index/words", json=weighed).json()["weights"] == [2.0, 1.0]
    assert client.post(f"{WORK}/people", json={"mail": "a"}).status_code == 201
    assert client.post(f"{WORK}/people", json={"mail": "a"}).status_code == 409
    taken = client.put(f"{WORK}/people/documents/b", json={"mail": "a"}, headers={"If-None-Match": "*"})
    assert taken.status_code == 409
    assert client.delete(f"{WORK}/people/_index/mail").status_code == 200
    assert client.delete(f"{WORK}/people/_index/mail").status_code == 404
    assert client.delete(f"{WORK}/people").status_code == 200
    assert client.get(f"{WORK}/people").status_code == 404
    assert client.get(f"{WORK}/1people").status_code == 400


def test_settings_of_a_collection_are_changed_where_its_documents_suit_them(client):
    notes = f"{WORK}/notes"
    schema = {"required": ["title"]}
    assert client.put(f"{notes}/_schema", json=schema).json() == schema
    assert client.get(f"{notes}/_schema").json() == schema
    assert client.post(notes, json={}).status_code == 422
    refused = client.put(f"{notes}/_schema", json={"required": ["nowhere"]})
    assert refused.status_code == 422
    assert "'first'" in refused.json()["error"]["message"]
    assert client.put(f"{notes}/_schema", json={"type": "nothing"}).status_code == 400
    changed = client.patch(notes, json={"ttl": 60}).json()
    assert (changed["schema"], changed["ttl"]) == (schema, 60)
    assert client.patch(notes, json={"schema": None}).json()["schema"] is None
    assert client.get(notes).json()["ttl"] == 60
    client.put(f"{notes}/_schema", json=schema)
    assert client.delete(f"{notes}/_schema").json() == {"dropped": "schema"}
    assert client.get(f"{notes}/_schema").json() is None
    assert client.put(f"{WORK}/none/_schema", json={}).status_code == 404
    assert client.patch(f"{WORK}/none", json={}).status_code == 404


def test_databases_are_made_and_listed(client, folder):
    assert client.get("/v1/_databases").json()["databases"] == ["work"]
    assert client.put("/v1/more").status_code == 200
    assert client.get("/v1/_databases").json()["databases"] == ["more", "work"]
    assert client.put("/v1/..%2fevil").status_code in (400, 404)
    assert not (folder.parent / "evil.db").exists()
    assert client.put("/v1/-x").status_code == 400
    assert client.get("/v1/none").status_code == 404
    stats = client.get(WORK).json()
    assert stats["collections"] == {"notes": {"documents": 1, "indexes": {"words": "text"}}}


def test_changes_are_paged(client):
    page = client.get(f"{WORK}/_changes", params={"since": 0, "limit": 2}).json()
    assert [change["action"] for change in page["changes"]] == ["create collection", "create index"]
    page = client.get(f"{WORK}/_changes", params={"since": page["next"], "collection": "notes"}).json()
    assert [change["id"] for change in page["changes"]] == ["first"]
    assert client.get(f"{WORK}/_changes").json()["changes"] == []


def test_changes_are_waited_for(client):
    since = client.get(f"{WORK}/_changes").json()["next"]
    timer = threading.Timer(0.3, lambda: client.post(f"{WORK}/notes", json={"_id": "late"}))
    timer.start()
    began = time.monotonic()
    page = client.get(f"{WORK}/_changes", params={"since": since, "timeout": 30}).json()
    assert [change["id"] for change in page["changes"]] == ["late"]
    assert time.monotonic() - began < 20
    timer.join()


def test_changes_stream_as_lines(client):
    accept = {"Accept": "application/x-ndjson"}
    lines = client.get(f"{WORK}/_changes", params={"since": 0, "timeout": 0.2}, headers=accept).text.splitlines()
    assert [json.loads(line)["seq"] for line in lines if line] == [1, 2, 3]


def test_changes_wait_no_longer_than_the_server_says(serving):
    began = time.monotonic()
    assert serving(max_wait=0.1).get(f"{WORK}/_changes", params={"timeout": 60}).json()["changes"] == []
    assert time.monotonic() - began < 20


def test_the_log_says_all(client):
    entries = client.get(f"{WORK}/_log", params={"since": 2}).json()["entries"]
    assert [(entry["actor"], entry["action"], entry["ok"]) for entry in entries] == [("local", "insert", True)]


def test_reads_take_no_longer_than_they_may(serving, folder):
    client = serving(query_timeout=0.2)
    client.post(f"{WORK}/many/_bulk", content="\n".join(json.dumps({"n": n, "one": 1}) for n in range(2000)))
    began = time.monotonic()
    answer = ask(
        client, "SELECT COUNT(*) AS c FROM many a JOIN many b ON a.one = b.one JOIN many c ON c.one = b.one"
    )
    assert time.monotonic() - began < 15
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "query_timeout"
    assert "0.2 s" in answer.json()["error"]["message"]
    assert ask(client, "SELECT COUNT(*) AS c FROM many").json()["rows"] == [[2000]]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_statement_of_another_type_is_told_which_one_is_meant(client, kind):
    answer = client.post(f"{WORK}/_query", content='{"statement": "SELECT 1"}', headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert answer.json()["error"]["message"] == f"the body is {kind}"
    assert answer.json()["error"]["hint"] == "Content-Type: application/json"
