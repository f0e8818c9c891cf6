"""Requests made from the OpenAPI document, right and wrong ones: each is answered, and as the document says."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.server.app import create_app
from quanta_tissu.tissdb.server.settings import Settings
from quanta_tissu.tissdb.server.tokens import TokenFile

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


@schemathesis.serializer("application/x-ndjson")
def _lines(context, value):
    return json.dumps(value).encode()


FOLDER = Path(tempfile.mkdtemp(prefix="tissdb-"))
TOKEN = TokenFile(FOLDER / "tokens.json").add("tester", {"*": "admin"})
APP = create_app(str(FOLDER), Settings(tokens=FOLDER / "tokens.json", max_wait=0.02))

schema = schemathesis.openapi.from_dict(APP.openapi())
schema.app = APP


@pytest.fixture(scope="module", autouse=True)
def _work():
    with tissdb.open(FOLDER / "work.db") as db:
        db["notes"].create_index("words", kind="text", fields="title")
        db["notes"].insert({"title": "A first note"}, id="first")
    yield
    APP.state.server.databases.close()
    shutil.rmtree(FOLDER)


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.slow
def test_every_request_is_answered_as_the_document_says(case):
    # A database and a collection that are there, so that requests come further than "not found".
    if "database" in case.path_parameters:
        case.path_parameters["database"] = "work"
    if "collection" in case.path_parameters and len(str(case.path_parameters["collection"])) % 2:
        case.path_parameters["collection"] = "notes"
    case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS)
