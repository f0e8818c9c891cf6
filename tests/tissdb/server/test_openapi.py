"""Requests made from the OpenAPI document, right and wrong ones: each is answered, and as the document says."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.server.app import create_app
from quanta_tissu.tissdb.server.settings import Settings
from quanta_tissu.tissdb.server.tokens import TokenFile


@schemathesis.serializer("application/x-ndjson")
def _lines(context, value):
    return json.dumps(value).encode()


FOLDER = Path(tempfile.mkdtemp(prefix="tissdb-"))
TOKEN = TokenFile(FOLDER / "tokens.json").add("tester", {"*": "admin"})


class Encoder:
    name = "lengths"

    def embed(self, texts):
        return np.array([[len(text), 1] for text in texts], np.float32)


APP = create_app(str(FOLDER), Settings(tokens=FOLDER / "tokens.json", max_wait=0.02), encoder=Encoder())

schema = schemathesis.openapi.from_dict(APP.openapi())
schema.app = APP


@schema.auth()
class Auth:
    """Shows the token, but where the request is one without it."""

    def get(self, case, context):
        return TOKEN

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@pytest.fixture(scope="module", autouse=True)
def _work():
    with tissdb.open(FOLDER / "work.db") as db:
        db["notes"].create_index("words", kind="text", fields="title")
        db["notes"].create_index("near", kind="vector", dimension=2)
        db["notes"].insert({"title": "A first note"}, id="first", vectors={"near": [1, 2]})
    yield
    APP.state.server.databases.close()
    shutil.rmtree(FOLDER)


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.slow
def test_every_request_is_answered_as_the_document_says(case):
    # A database and a collection that are there, so that requests come further than "not found".
    parameters = case.path_parameters
    if "database" in parameters:
        parameters["database"] = "work"
    named = all(re.fullmatch(r"[^\W\d_][\w-]*", str(parameters.get(one, "a"))) for one in ("collection", "name"))
    if "collection" in parameters and len(str(parameters["collection"])) % 2:
        parameters["collection"], named = "notes", "name" not in parameters
    # What these take is more than a schema can say: names, documents, a language, fields that suit each other.
    method, last = case.method, case.operation.path.rpartition("/")[2]
    says_more = last in ("_query", "_explain", "_search", "_bulk", "_schema", "{name}") or (
        last in ("{collection}", "{id}") and method not in ("GET", "TRACE")
    )
    case.call_and_validate(excluded_checks=[positive_data_acceptance] if says_more or not named else [])


class _Workflow(schema.as_state_machine()):
    """Requests one after the other, in which ids and names come from the answers before."""

    def before_call(self, case):
        case.path_parameters |= {"database": "work"}
        if "collection" in case.path_parameters:
            case.path_parameters["collection"] = "notes"
        if case.operation.path.endswith("/_search"):
            case.body = {"near": "whatever there is"}
        if case.operation.path.endswith("/{transaction}"):
            client = TestClient(APP, base_url="http://localhost", headers={"Authorization": f"Bearer {TOKEN}"})
            begun = client.post("/v1/work/_begin")
            case.path_parameters["transaction"] = begun.json()["transaction"]

    def validate_response(self, response, case, additional_checks=None, **more):
        case.validate_response(response, excluded_checks=[positive_data_acceptance])


TestWorkflows = _Workflow.TestCase
TestWorkflows.settings = settings(
    max_examples=15, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWorkflows = pytest.mark.slow(TestWorkflows)
