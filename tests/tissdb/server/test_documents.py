"""Documents over HTTP."""

from __future__ import annotations

import json

import pytest

import quanta_tissu.tissdb as tissdb

NOTES = "/v1/work/notes"


def test_a_document_is_inserted_and_read(client):
    made = client.post(NOTES, json={"day": {"$date": "2026-11-22"}})
    assert made.status_code == 201
    found = client.get(made.headers["location"])
    assert found.json()["day"] == {"$date": "2026-11-22"}
    assert found.json()["_rev"] == made.json()["_rev"]
    assert found.headers["etag"] == made.headers["etag"] == f'"{made.json()["_rev"]}"'


@pytest.mark.parametrize("id", ["plain", "a/b", "_query", "ü ?#%", "documents/x", "/slash/"])
def test_any_id_can_be_addressed(client, id):
    from urllib.parse import quote

    url = f"{NOTES}/documents/{quote(id, safe='/')}"
    assert client.put(url, json={"n": 1}).status_code == 201
    assert client.get(url).json()["_id"] == id
    assert client.put(url, json={"n": 2}).status_code == 200
    assert client.delete(url).json()["_id"] == id
    assert client.get(url).status_code == 404


def test_put_and_delete_want_the_revision_that_was_seen(client):
    url = f"{NOTES}/documents/first"
    seen = client.get(url).headers["etag"]
    changed = client.put(url, json={"n": 1}, headers={"If-Match": seen})
    assert changed.status_code == 200
    for refused in (
        client.put(url, json={}, headers={"If-Match": seen}),
        client.patch(url, json={}, headers={"If-Match": seen}),
        client.delete(url, headers={"If-Match": seen}),
        client.put(f"{NOTES}/documents/none", json={}, headers={"If-Match": seen}),
        client.put(url, json={}, headers={"If-None-Match": "*"}),
    ):
        assert refused.status_code == 412
    assert client.get(url).json()["n"] == 1
    assert client.delete(url, headers={"If-Match": changed.headers["etag"]}).status_code == 200
    assert client.put(url, json={}, headers={"If-None-Match": "*"}).status_code == 201


def test_what_has_not_changed_is_not_sent_again(client):
    seen = client.get(f"{NOTES}/documents/first").headers["etag"]
    again = client.get(f"{NOTES}/documents/first", headers={"If-None-Match": seen})
    assert (again.status_code, again.content) == (304, b"")


def test_patch_merges(client):
    url, kind = f"{NOTES}/documents/first", {"Content-Type": "application/merge-patch+json"}
    assert client.patch(url, content='{"stars": null, "n": {"a": 1}}', headers=kind).status_code == 200
    found = client.get(url).json()
    assert "stars" not in found
    assert found["n"] == {"a": 1}


def test_an_existing_id_is_a_conflict(client):
    assert client.post(NOTES, json={"_id": "first"}).status_code == 409


def test_what_was_done_under_a_key_is_done_once(client):
    key = {"Idempotency-Key": "k"}
    first, second = (client.post("/v1/work/keyed", json={}, headers=key) for _ in range(2))
    assert first.json() == second.json()
    url = f"{NOTES}/documents/first"
    assert client.delete(url, headers=key).json() == client.delete(url, headers=key).json()
    assert client.post(NOTES, json={}, headers={"Idempotency-Key": "k" * 201}).status_code == 400


def test_vectors_and_expiry_travel_with_the_document(client):
    client.put(f"{NOTES}/_index/near", json={"kind": "vector", "dimension": 2})
    body = {"_vectors": {"near": [3, 4]}, "_expires": {"$datetime": "2100-01-01T00:00:00Z"}}
    client.put(f"{NOTES}/documents/v", json=body)
    assert client.get(f"{NOTES}/documents/v").json()["_expires"] == 4102444800000000
    [hit] = client.post(f"{NOTES}/_search", json={"vector": [3, 4]}).json()["hits"]
    assert hit["document"]["_id"] == "v"
    assert hit["why"].startswith("nearness: place 1")


@pytest.mark.parametrize(
    ("content", "headers", "status", "says"),
    [
        ("{", {}, 422, "this is not JSON"),
        ("[1]", {}, 422, "no document but a list"),
        ('{"a": NaN}', {}, 422, "not a number of JSON"),
        ('{"a": {"$date": "soon"}}', {}, 422, "no value of its kind"),
        ('{"_id": "other"}', {}, 422, "its id is 'other'"),
        ("{}", {"Content-Type": "text/plain"}, 415, "Content-Type: application/json"),
        ("{}", {"If-Match": "12"}, 400, "no revision"),
        ("{}", {"If-None-Match": '"1"'}, 400, "* for a new document"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", {}, 422, "nested"),
        ('{"a": 99999999999999999999}', {}, 422, "64 bits"),
    ],
)
def test_what_is_wrong_is_said(client, content, headers, status, says):
    sent = {"Content-Type": "application/json"} | headers
    answer = client.put(f"{NOTES}/documents/x", content=content, headers=sent)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert says in f"{error['message']} {error['hint']}"
    assert error["request"] == answer.headers["x-request-id"]


def test_errors_name_the_path(client):
    error = client.post(NOTES, json={"a": [{"$odd": 1, "x": 2}]}).json()["error"]
    assert error["type"] == "invalid_document"
    assert error["path"].startswith("a[0]")


def test_many_documents_come_as_lines(client):
    lines = "".join(json.dumps({"_id": f"{n}", "n": n}) + "\n" for n in range(1200))
    assert client.post("/v1/work/many/_bulk", content=lines).json() == {"stored": 1200}
    out = client.get("/v1/work/many/_export").text.splitlines()
    assert [json.loads(line)["n"] for line in out] == list(range(1200))


def test_lines_may_be_cut_anywhere(client):
    data = b"".join(b'{"n": "\xc3\xbc%d"}\n' % n for n in range(50)).rstrip()
    pieces = (data[place : place + 7] for place in range(0, len(data), 7))
    assert client.post("/v1/work/many/_bulk", content=pieces).json() == {"stored": 50}


def test_a_bad_line_is_named_and_the_rest_goes_on_under_the_key(client, folder):
    good = [json.dumps({"n": n}) for n in range(700)]
    key = {"Idempotency-Key": "monday"}
    answer = client.post("/v1/work/many/_bulk", content="\n".join([*good, "oops"]), headers=key)
    assert answer.status_code == 422
    assert answer.json()["error"]["stored"] == 500
    assert answer.json()["error"]["message"].startswith("line 701: this is not JSON")
    assert client.post("/v1/work/many/_bulk", content="\n".join(good), headers=key).json() == {"stored": 700}
    assert client.get("/v1/work/many").json()["documents"] == 700


@pytest.mark.parametrize(("content", "status"), [(b"\xff\n", 422), (b'{"a": "' + b"x" * 300 + b'"}', 413)])
def test_lines_that_are_no_text_or_too_long_are_refused(serving, content, status):
    client = serving(max_line=200)
    assert client.post("/v1/work/many/_bulk", content=content).status_code == status
    assert client.post("/v1/work/many/_bulk", content=content.rstrip()).status_code == status


def test_export_of_what_is_not_there_is_refused(client):
    assert client.get("/v1/work/none/_export").status_code == 404
    error = client.get("/v1/work/none/documents/x").json()["error"]
    assert error["hint"] == "collections: notes"


def test_a_database_on_postgres_is_called_as_its_schema(serving, postgres_url):
    client = serving(postgres_url)
    [name] = client.get("/v1/_databases").json()["databases"]
    assert postgres_url.endswith(f"schema={name}")
    made = client.put(f"/v1/{name}/notes/documents/a", json={"n": 1})
    assert made.status_code == 201
    assert client.put(f"/v1/{name}/notes/documents/a", json={}, headers={"If-Match": '"1"'}).status_code == 412
    assert client.get(f"/v1/{name}/notes/documents/a").json()["n"] == 1


def test_a_server_of_one_file_names_it_by_its_stem(serving, folder):
    client = serving(folder / "work.db")
    assert client.get("/v1/work/notes/documents/first").status_code == 200
    assert client.put("/v1/other").status_code == 400
    with tissdb.open(folder / "work.db") as db:
        assert {entry.actor for entry in db.log()} == {"local"}


def test_a_document_that_was_made_is_said_to_be_also_when_asked_again(client):
    key = {"Idempotency-Key": "k"}
    for _ in range(2):
        assert client.put(f"{NOTES}/documents/fresh", json={"n": 1}, headers=key).status_code == 201
    assert client.put(f"{NOTES}/documents/fresh", json={"n": 2}).status_code == 200
    assert client.put(f"{NOTES}/documents/fresh", json={"n": 1}, headers=key).status_code == 201
