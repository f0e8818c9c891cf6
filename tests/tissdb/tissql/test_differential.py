"""Random statements: every engine answers as the reference does. `differential.py` asks many more."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("differential", Path(__file__).parent / "differential.py")
differential = importlib.util.module_from_spec(spec)
sys.modules["differential"] = differential
spec.loader.exec_module(differential)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_engine_answers_as_the_reference_does(db, seed):
    maker = differential.Maker(seed)
    documents = differential.filled(db, maker, 16)
    for _ in range(200):
        text, parameters = maker.statement()
        expected = differential.expected_of(documents, text, parameters)
        assert differential.difference(db, expected, text, parameters) is None


def test_a_wrong_answer_is_noticed(db):
    documents = differential.filled(db, differential.Maker(1), 16)
    text = "SELECT _id, a FROM p WHERE a IS NOT NULL ORDER BY a DESC"
    expected = differential.expected_of(documents, text, [])
    assert differential.difference(db, expected, text, []) is None
    for wrong in (expected[:-1], expected[::-1], [{**expected[0], "a": "other"}, *expected[1:]]):
        assert "reference" in differential.difference(db, wrong, text, [])
    as_float = differential.expected_of(documents, "SELECT COUNT(*) * 1.0 AS n FROM p", [])
    assert (
        differential.difference(db, [{"n": int(as_float[0]["n"])}], "SELECT COUNT(*) * 1.0 AS n FROM p", [])
        is not None
    )


def test_conditions_part_the_documents(db):
    """Of a condition, its contrary and neither, each document is in exactly one."""
    maker = differential.Maker(7)
    documents = differential.filled(db, maker, 30)["p"]
    live = {row[0] for row in db.query("SELECT _id FROM p").rows}
    assert live <= {document.id for document in documents}
    for _ in range(40):
        maker.parameters = []
        condition = maker.condition(depth=1)
        parameters = maker.parameters
        yes = {row[0] for row in db.query(f"SELECT _id FROM p WHERE {condition}", parameters).rows}
        no = {row[0] for row in db.query(f"SELECT _id FROM p WHERE NOT ({condition})", parameters).rows}
        assert not yes & no
        sql = f"SELECT _id FROM p WHERE ({condition}) OR NOT ({condition})"
        both = {row[0] for row in db.query(sql, parameters * 2).rows}
        assert both == yes | no
