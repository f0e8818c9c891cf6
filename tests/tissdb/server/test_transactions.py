"""Transactions over HTTP: all or nothing, and no lock between requests."""

from __future__ import annotations

import pytest

WORK = "/v1/work"


def begun(client, *operations, **more) -> str:
    """The address of a transaction with operations."""
    made = client.post(f"{WORK}/_begin", **more)
    assert made.status_code == 201
    place = f"{WORK}/_transactions/{made.json()['transaction']}"
    if operations:
        added = client.post(place, json={"operations": operations}, **more)
        assert added.json() == {"operations": len(operations)}
    return place


def op(name, id=None, **more):
    return {"op": name, "collection": "notes", "id": id, **more}


def test_all_operations_happen_at_the_commit(client):
    revision = client.get(f"{WORK}/notes/documents/first").json()["_rev"]
    place = begun(
        client,
        op("insert", document={"n": 1}),
        op("insert", "a", document={"n": 1}, revision=0),
        op("patch", "a", document={"m": 2}),
        op("replace", "first", document={"n": 2}, revision=revision),
        op("upsert", "b", document={"n": 3}, revision=0),
        op("upsert", "b", document={"n": 4}),
        op("check", "b"),
        op("check", "none", revision=0),
        op("insert", "gone", document={}),
        op("delete", "gone"),
    )
    assert client.get(f"{WORK}/notes/documents/a").status_code == 404
    results = client.post(f"{place}/_commit").json()["results"]
    assert [one["_id"] for one in results[1:]] == ["a", "a", "first", "b", "b", "b", "none", "gone", "gone"]
    assert client.get(f"{WORK}/notes/documents/a").json()["m"] == 2
    assert client.get(f"{WORK}/notes").json()["documents"] == 4


@pytest.mark.parametrize(
    "last",
    [
        op("replace", "first", document={}, revision=1),
        op("delete", "first", revision=1),
        op("check", "first", revision=0),
        op("check", "first", revision=1),
        op("upsert", "first", document={}, revision=0),
        op("insert", "first", document={}),
        op("patch", "none", document={}),
        op("check", "none"),
    ],
)
def test_at_a_conflict_nothing_happens(client, last):
    place = begun(client, op("insert", "a", document={}), last)
    answer = client.post(f"{place}/_commit")
    assert answer.status_code == 409
    assert answer.json()["error"]["message"].startswith(f"operation 1 ({last['op']}): ")
    assert client.get(f"{WORK}/notes/documents/a").status_code == 404
    assert client.post(f"{place}/_commit").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        op("delete"),
        op("insert", document={}, revision=3),
        op("delete", "first", document={}),
        op("replace", "first"),
        op("insert", document={"a": {"$date": "soon"}}),
    ],
)
def test_an_operation_that_means_nothing_is_refused_at_the_commit(client, wrong):
    answer = client.post(f"{begun(client, wrong)}/_commit")
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("operation 0 ")


def test_a_commit_asked_for_again_answers_as_before(serving, folder):
    client = serving()
    place = begun(client, op("insert", document={"n": 1}))
    first = client.post(f"{place}/_commit").json()
    assert client.post(f"{place}/_commit").json() == first
    again = serving()  # as after a restart
    assert again.post(f"{place}/_commit").json() == first
    assert again.get(f"{WORK}/notes").json()["documents"] == 2


def test_what_is_rolled_back_never_happens(client):
    place = begun(client, op("insert", "a", document={}))
    assert client.post(f"{place}/_rollback").status_code == 200
    assert client.post(f"{place}/_rollback").status_code == 404
    assert client.post(f"{place}/_commit").status_code == 404
    assert client.post(place, json={"operations": []}).status_code == 404
    assert client.get(f"{WORK}/notes/documents/a").status_code == 404


def test_transactions_are_forgotten(serving):
    client = serving(transaction_timeout=0.0)
    made = client.post(f"{WORK}/_begin").json()["transaction"]
    assert client.post(f"{WORK}/_transactions/{made}/_commit").status_code == 404


def test_their_number_and_size_are_limited(serving):
    client = serving(max_transactions=1, max_operations=2, max_transaction_bytes=400)
    place = begun(client)
    assert client.post(f"{WORK}/_begin").status_code == 429
    assert client.post(place, json={"operations": [op("check", "a")] * 3}).status_code == 413
    large = client.post(place, json={"operations": [op("insert", document={"a": "x" * 500})]})
    assert large.status_code == 413
    assert "split it" in large.json()["error"]["hint"]
    assert "tissdb_transactions_open 1" in client.get("/v1/_metrics").text


def test_a_transaction_is_its_owners(serving, tokens):
    ada = {"Authorization": f"Bearer {tokens.add('ada', {'work': 'writer'})}"}
    bob = {"Authorization": f"Bearer {tokens.add('bob', {'work': 'writer'})}"}
    client = serving(tokens=tokens._path)
    place = begun(client, op("insert", "a", document={}), headers=ada)
    assert client.post(f"{place}/_commit", headers=bob).status_code == 404
    assert client.post(f"{place}/_commit", headers=ada).status_code == 200
