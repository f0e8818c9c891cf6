"""What is done about a journal that others have changed, or that lost a part, before it is gone on with."""

from __future__ import annotations

import pytest

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.anchor import Anchor, AnchorFile, anchor_path, boot_id
from quanta_tissu.tisslang.journal.journal import Journal


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "runs" / "r1"
    with Journal.create(folder) as journal:
        for number in range(2, 6):
            journal.append("note", text=f"{number}")
    return folder


def _anchored(folder, seq: int, hash: str, synchronised: int, **more) -> None:
    AnchorFile(anchor_path(folder)).write(Anchor(run="r1", seq=seq, hash=hash, synchronised=synchronised, **more))


def _note(folder) -> str:
    with Journal.open(folder) as journal:
        return journal.records[-1].fields["text"]


def test_an_anchor_of_another_journal(folder):
    _anchored(folder, 5, "0" * 64, 5)
    with pytest.raises(JournalError, match="record 5 is not the one that was anchored"):
        Journal.open(folder)


def test_records_that_were_not_anchored_are_accepted_with_a_note(folder):
    with Journal.read(folder) as journal:
        _anchored(folder, 4, journal.records[3].hash, 4)
    assert _note(folder) == "record 5 is not anchored"
    with Journal.open(folder) as journal:
        assert len(journal.records) == 6


def test_more_records_than_a_killed_process_leaves_without_an_anchor(folder):
    with Journal.read(folder) as journal:
        hash = journal.records[2].hash
    _anchored(folder, 3, hash, 3, boot=boot_id())
    with pytest.raises(JournalError, match="records 4 to 5 are added"):
        Journal.open(folder)
    _anchored(folder, 3, hash, 3, closed=True)
    with pytest.raises(JournalError, match="records 4 to 5 are added"):
        Journal.open(folder)
    _anchored(folder, 3, hash, 3, boot="another")
    assert _note(folder) == "records 4 to 5 are not anchored"


def test_a_missing_anchor_is_noted(folder):
    anchor_path(folder).unlink()
    assert "there was no anchor" in _note(folder)


def test_an_anchor_that_is_none(folder):
    anchor_path(folder).write_text("nonsense")
    with pytest.raises(JournalError, match="is no anchor of a run"):
        Journal.open(folder)


def test_records_in_another_order(folder):
    path = folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
    with pytest.raises(JournalError, match="record 2 does not follow on the one before"):
        Journal.open(folder)
