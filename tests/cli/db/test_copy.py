"""`tissu db copy`."""

from __future__ import annotations

import json

import quanta_tissu.tissdb as tissdb


def test_a_database_is_copied_and_compared(tissu, notes, tmp_path):
    target = str(tmp_path / "copy.db")
    outcome = tissu("db", "copy", notes, target)
    assert outcome.code == 0
    assert "copied 3 documents" in outcome.out
    assert "in 1 collection with 1 index and 0 vectors" in outcome.out
    assert "compared" in outcome.out
    with tissdb.open(target) as db:
        assert {document.id for document in db["notes"]} == {"first", "second", "third"}
        assert list(db["notes"].indexes) == ["words"]


def test_a_target_that_holds_something_is_refused(tissu, notes, tmp_path):
    target = str(tmp_path / "copy.db")
    assert tissu("db", "copy", notes, target, "--json").code == 0
    again = tissu("db", "copy", notes, target)
    assert again.code == 1
    assert "is not empty: it has notes" in again.err
    assert "are one database" in tissu("db", "copy", notes, notes).err
    assert tissu("db", "copy", str(tmp_path / "missing.db"), target).code == 1


def test_there_and_back_has_the_same_digest(tissu, notes, tmp_path):
    there, back = str(tmp_path / "there.db"), str(tmp_path / "back.db")
    first = json.loads(tissu("db", "copy", notes, there, "--json").out)
    second = json.loads(tissu("db", "copy", there, back, "--json").out)
    assert first == second
    assert first["documents"] == 3
