"""Request ids, metrics, health, the OpenAPI document, and errors that nobody expected."""

from __future__ import annotations

import logging
import re

import pytest

from quanta_tissu import errors
from quanta_tissu.tissdb.server.failures import STATUS, RequestError, error_body, status_of
from quanta_tissu.tissdb.server.logs import log, write_log


def test_request_ids_come_back(client):
    assert client.get("/v1/_health", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    odd = client.get("/v1/none", headers={"X-Request-Id": 'a"b c'})
    assert odd.headers["x-request-id"] != 'a"b c'
    assert odd.json()["error"]["request"] == odd.headers["x-request-id"]


@pytest.mark.parametrize(("method", "url", "status"), [("GET", "/nowhere", 404), ("POST", "/v1/_health", 405)])
def test_addresses_that_are_none_get_errors_of_the_same_shape(client, method, url, status):
    answer = client.request(method, url)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"type", "message", "hint", "path", "request"}


def test_what_nobody_expected_is_an_error_without_its_inside(client, monkeypatch, caplog):
    def fail(self):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("quanta_tissu.tissdb.database.Database.head", fail)
    answer = client.get("/v1/work")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "a secret" in caplog.text
    assert client.get("/v1/_health").status_code == 503


def test_requests_are_counted(client):
    client.get("/v1/work")
    client.get("/v1/work/notes/documents/none")
    text = client.get("/v1/_metrics").text
    assert 'tissdb_requests_total{method="GET",route="/v1/{database}",status="200"} 1' in text
    assert 'route="/v1/{database}/{collection}/documents/{id:path}",status="404"} 1' in text
    assert 'tissdb_request_seconds_bucket{method="GET",route="/v1/{database}",le="+Inf"} 1' in text
    assert 'tissdb_errors_total{type="not_found"} 1' in text
    assert 'tissdb_writes_waiting{database="work"} 0' in text
    assert re.search(r'tissdb_database_bytes{database="work"} \d{4,}', text)
    assert re.search(r"tissdb_uptime_seconds \d", text)
    assert "tissdb_requests_in_flight 1" in text
    assert 'tissdb_log_entries{database="work"} 3' in text


@pytest.fixture
def written(capsys):
    """What `write_log` has written since; afterwards logging is as it was."""
    root = logging.getLogger()
    before = root.handlers, root.level, log.level
    yield lambda: capsys.readouterr().err
    root.handlers = before[0]
    root.setLevel(before[1])
    log.setLevel(before[2])


def test_log_lines_have_the_request_id(client, written, monkeypatch):
    write_log(requests=True)
    client.get("/v1/work", headers={"X-Request-Id": "first"})
    monkeypatch.setattr("quanta_tissu.tissdb.database.Database.head", lambda self: 1 / 0)
    client.get("/v1/_health", headers={"X-Request-Id": "second"})  # which fails in a thread
    lines = written().splitlines()
    assert re.search(r"INFO \[first\] tissdb.server: GET /v1/work 200 [\d.]+ ms", lines[0])
    assert "ERROR [second] tissdb.server: the database work cannot be read" in lines[1]
    assert "INFO [second] tissdb.server: GET /v1/_health 503" in lines[-1]


def test_paths_begin_no_line_of_the_log(client, written):
    write_log(requests=True)
    client.get("/v1/a%0Ab")
    assert len(written().splitlines()) == 1


def test_requests_are_logged_on_demand_only(client, written):
    write_log(requests=False)
    client.get("/v1/work")
    assert written() == ""


def test_health_says_since_when_and_of_what(client):
    client.get("/v1/work")
    said = client.get("/v1/_health").json()
    assert said["databases"] == 1
    assert said["seconds"] >= 0


def test_parameters_that_are_unknown_are_refused(client):
    answer = client.get("/v1/work/notes/documents", params={"limt": 5})
    assert answer.status_code == 422
    assert answer.json()["error"]["hint"] == "known: after, limit, newest"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [("/v1/_health", "GET"), ("/v1/work/notes/documents/a/b", "GET, PUT, PATCH, DELETE"), ("/", "GET")],
)
def test_a_wrong_method_is_told_the_right_ones(client, url, allowed):
    answer = client.options(url)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed


def test_the_interface_describes_itself(client):
    document = client.get("/v1/openapi.json").json()
    assert "/v1/{database}/{collection}/documents/{id}" in document["paths"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), f"{method} {path} does not explain itself"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFoundError("a"), 404),
        (errors.UniqueError("a"), 409),
        (errors.InvalidDocumentError("a", path="b"), 422),
        (errors.QueryError("a", statement="SELECT"), 400),
        (errors.BusyError("a"), 503),
        (errors.QueryTimeoutError("a"), 503),
        (errors.StorageError("a"), 507),
        (errors.UnknownOutcomeError("a"), 500),
        (errors.CorruptionError("a"), 500),
        (errors.DatabaseError("a"), 400),
        (errors.ConfigError("a"), 500),
        (RequestError(418, "a"), 418),
    ],
)
def test_every_error_has_a_status(error, status):
    assert status_of(error) == status
    assert b'"message": "a' in error_body(error, "id")


def test_every_database_error_is_in_the_table():
    kinds = [errors.DatabaseError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    for kind in kinds:
        if kind is not RequestError:
            assert any(base in STATUS for base in kind.__mro__[:-3])


def test_a_conflict_under_a_precondition_is_a_failed_precondition():
    assert status_of(errors.ConflictError("a"), conditional=True) == 412
    assert status_of(errors.UniqueError("a"), conditional=True) == 409
