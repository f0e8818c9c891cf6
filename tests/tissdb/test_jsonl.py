"""What is exported and imported again is the same."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import DatabaseError, InvalidDocumentError
from quanta_tissu.tissdb.jsonl import export_lines, import_lines


def test_everything_comes_back(db):
    db["a"].create_index("near", kind="vector", dimension=3, metric="dot")
    db["a"].insert(
        {"when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "raw": b"\1"}, id="x", vectors={"near": [1, 2, 3]}
    )
    db["a"].insert({"n": 1e300, "text": 'ü "quoted"'}, id="y", expires=dt.timedelta(hours=1))
    lines = list(export_lines(db["a"]))
    with tissdb.open(":memory:") as other:
        other["b"].create_index("near", kind="vector", dimension=3, metric="dot")
        assert import_lines(other["b"], lines) == 2
        found = {document.id: (document, vectors) for document, vectors in other["b"].scan_with_vectors()}
        for document in db["a"]:
            assert found[document.id][0].value == document.value
            assert found[document.id][0].expires == document.expires
        assert np.array_equal(found["x"][1]["near"], [1, 2, 3])
        assert found["y"][1] == {}


def test_lines_of_others_need_nothing_of_ours(db):
    seen = []
    lines = [json.dumps({"n": n}) + "\n" for n in range(1200)] + ["\n", '{"_vectors": {}, "_rev": 7}']
    assert import_lines(db["a"], lines, progress=seen.append) == 1201
    assert seen == [500, 1000, 1201]
    assert len(db["a"]) == 1201


def test_vectors_may_be_lists(db):
    db["a"].create_index("near", kind="vector", dimension=2)
    import_lines(db["a"], ['{"_id": "x", "_vectors": {"near": [3, 4]}}'])
    [(_, vectors)] = db["a"].scan_with_vectors()
    assert np.allclose(vectors["near"], [0.6, 0.8])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: this is not JSON"),
        ("[1]", "line 2: this is no document but a list"),
        ('{"_id": 7}', "line 2: the id 7"),
        ('{"a": "\\ud800"}', "line 2: a holds half"),
    ],
)
def test_a_bad_line_is_named(db, line, says):
    with pytest.raises(InvalidDocumentError, match=says):
        import_lines(db["a"], ["{}", line])


def test_an_import_under_a_key_goes_on_where_it_was_interrupted(db):
    lines = [json.dumps({"n": n}) for n in range(800)]
    with pytest.raises(DatabaseError):
        import_lines(db["a"], [*lines, "broken"], key="load")
    import_lines(db["a"], [*lines, '{"n": 800}'], key="load")
    assert [document["n"] for document in db["a"]] == list(range(801))
