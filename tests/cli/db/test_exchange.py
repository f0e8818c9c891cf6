"""`tissu db import` and `export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

import quanta_tissu.tissdb as tissdb
from quanta_tissu.cli import console


def test_what_is_exported_and_imported_is_the_same(tissu, notes, tmp_path):
    file = str(tmp_path / "notes.jsonl")
    assert "exported 3 documents in" in tissu("db", "export", notes, "notes", file).out
    assert "imported 3 documents in" in tissu("db", "import", notes, "copy", file).out
    with tissdb.open(notes) as db:
        assert {one.id: one.value for one in db["copy"]} == {one.id: one.value for one in db["notes"]}


def test_export_without_a_file_goes_to_standard_output(tissu, notes):
    lines = tissu("db", "export", notes, "notes").out.splitlines()
    assert [json.loads(line)["_id"] for line in lines] == ["first", "second", "third"]


def test_import_reads_standard_input(tissu, notes, typed):
    typed("\ufeff" + '{"n": 1}\n\n{"n": 2}')
    assert "imported 2 documents" in tissu("db", "import", notes, "numbers").out


def test_an_interrupted_import_goes_on_under_its_key(tissu, notes, tmp_path):
    file = tmp_path / "many.jsonl"
    good = "".join(f'{{"n": {n}}}\n' for n in range(700))
    file.write_text(good + "oops\n")
    outcome = tissu("db", "import", notes, "many", str(file), "--key", "monday")
    assert outcome.code == 1
    assert "500 documents stored; repeat it with --key monday to go on" in outcome.err
    assert "line 701: this is not JSON" in outcome.err
    file.write_text(good)
    assert tissu("db", "import", notes, "many", str(file), "--key", "monday").code == 0
    with tissdb.open(notes) as db:
        assert sorted(one["n"] for one in db["many"]) == list(range(700))


def test_progress_shows_documents_and_rate(tissu, notes, tmp_path, monkeypatch):
    terminal = Console(force_terminal=True, width=120, record=True, stderr=True)
    monkeypatch.setattr(console, "error_console", lambda: terminal)
    file = tmp_path / "many.jsonl"
    file.write_text("{}\n" * 1200)
    tissu("db", "import", notes, "many", str(file))
    assert "documents, " in terminal.export_text(clear=True)
    tissu("db", "export", notes, "many", str(tmp_path / "out.jsonl"))
    assert "1,000 documents, " in terminal.export_text() or "exporting" in terminal.export_text()


def test_a_file_is_replaced_only_when_told_to(tissu, notes, tmp_path):
    file = tmp_path / "notes.jsonl"
    file.write_text("mine")
    outcome = tissu("db", "export", notes, "notes", str(file))
    assert outcome.code == 1
    assert "replace it with --force" in outcome.err
    assert file.read_text() == "mine"
    assert tissu("db", "export", notes, "notes", str(file), "--force").code == 0
    assert len(file.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\n", "line 1 of"),
        (b"[1]\n", "line 1: this is no document"),
        (b'{"_vectors": 3}\n', "line 1: _vectors is a int"),
        (b'{"_vectors": {"v": {"$binary": "AAA="}}}\n', "line 1: the vector for 'v' has 2 bytes"),
        (b'{"_expires": "soon"}\n', "line 1: _expires = 'soon'"),
        (b'{"_id": "first"}\n', "first"),
    ],
)
def test_a_bad_line_is_named(tissu, notes, tmp_path, content, says):
    file = tmp_path / "bad.jsonl"
    file.write_bytes(content)
    outcome = tissu("db", "import", notes, "notes", str(file))
    assert outcome.code == 1
    assert says in outcome.err


def test_what_is_not_there_is_said(tissu, notes, tmp_path):
    assert "No such file" in tissu("db", "import", notes, "notes", str(tmp_path / "none")).err
    assert "there is no collection 'none'" in tissu("db", "export", notes, "none").err


class TestWhatExportsReplace:
    def test_never_the_database_itself(self, tissu, notes, tmp_path):
        (tmp_path / "link.jsonl").symlink_to(notes)
        for target in (notes, str(tmp_path / "link.jsonl")):
            outcome = tissu("db", "export", notes, "notes", target, "--force")
            assert outcome.code == 1
            assert "is the database itself" in outcome.err
        assert tissu("db", "verify", notes).code == 0

    def test_no_other_database(self, tissu, notes, tmp_path):
        other = str(tmp_path / "other.db")
        tissu("db", "create", other)
        outcome = tissu("db", "export", notes, "notes", other, "--force")
        assert outcome.code == 1
        assert "is something else" in outcome.err
        assert tissu("db", "verify", other).code == 0

    def test_what_is_beside_stays(self, tissu, notes, tmp_path):
        (tmp_path / "out.jsonl.partial").write_text("mine")
        assert tissu("db", "export", notes, "notes", str(tmp_path / "out.jsonl")).code == 0
        assert (tmp_path / "out.jsonl.partial").read_text() == "mine"

    def test_a_full_disk_is_said_and_a_device_stays_one(self, tissu, notes):
        outcome = tissu("db", "export", notes, "notes", "/dev/full")
        assert outcome.code == 1
        assert "/dev/full cannot be written: No space left on device\n  help: make room" in outcome.err
        assert Path("/dev/full").is_char_device()
