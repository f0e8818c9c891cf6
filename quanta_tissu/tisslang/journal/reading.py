"""Reading a journal's file, also one that a process or a machine left behind when it ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.anchor import read_anchor
from quanta_tissu.tisslang.journal.blobs import BlobFolder
from quanta_tissu.tisslang.journal.record import FIRST, Record, parse_line

JOURNAL = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Recovered:
    """A journal that can be gone on with.

    Attributes:
        records: All of it.
        synchronised: Number of the last record that the disk is known to have.
        notes: What had to be cut off or accepted, for the journal itself.
    """

    records: list[Record]
    synchronised: int
    notes: list[str]


def split_lines(content: bytes) -> tuple[list[bytes], bytes]:
    """The lines of a file without their ends, and what is behind the last end."""
    *lines, rest = content.split(b"\n")
    return lines, rest


def read_records(folder: Path) -> list[Record]:
    """The records of a run, without holding it; a torn last line is passed over.

    Raises:
        JournalError: There is no journal, or it is not what was written.
    """
    return _read(folder)[0]


def _read(folder: Path) -> tuple[list[Record], bytes]:
    path = folder / JOURNAL
    try:
        lines, torn = split_lines(path.read_bytes())
    except FileNotFoundError:
        raise JournalError(
            f"there is no run at {folder}", hint="`tissu runs` lists the runs of a project"
        ) from None
    records: list[Record] = []
    previous = FIRST
    for number, line in enumerate(lines, 1):
        try:
            record = parse_line(line)
            if (record.seq, record.previous) != (number, previous):
                raise ValueError("does not follow on the one before")
        except ValueError as error:
            raise _damaged(folder, f"record {number} {error}") from None
        records.append(record)
        previous = record.hash
    return records, torn


def recover(folder: Path) -> Recovered:
    """Read a journal to go on with it, and cut off what the end of a process or machine has torn.

    Records that the disk was not known to have may be lost after a failure of power, or lack their blobs; such an
    end is cut off. Nothing else is: a record that was durable and is not there was taken away.

    Raises:
        JournalError: The journal is not what was written.
    """
    records, torn = _read(folder)
    anchor = read_anchor(folder)
    notes = []
    if torn:
        notes.append(f"a torn line of {len(torn)} bytes at the end was cut off")
    synchronised = anchor.synchronised if anchor else len(records)
    count = len(records)
    if anchor is None:
        notes.append("there was no anchor, so nobody can say whether the end is the one that was written")
    elif count < anchor.seq:
        if count < synchronised or anchor.sure:
            raise _damaged(folder, f"{_records(count + 1, anchor.seq)} cut off")
        notes.append(f"{_records(count + 1, anchor.seq)} missing, which the disk was not known to have")
    elif records[anchor.seq - 1].hash != anchor.hash:
        raise _damaged(folder, f"record {anchor.seq} is not the one that was anchored")
    elif count > anchor.seq:
        # A process that is killed may have written one record and not yet its anchor.
        if anchor.closed or (anchor.sure and count > anchor.seq + 1):
            raise _damaged(folder, f"{_records(anchor.seq + 1, count)} added")
        notes.append(f"{_records(anchor.seq + 1, count)} not anchored")
    kept = _with_blobs(folder, records, synchronised)
    if len(kept) < len(records):
        notes.append(f"{_records(len(kept) + 1, count)} without all blobs, and cut off")
    if torn or len(kept) < len(records):
        _cut(folder / JOURNAL, len(kept))
    if not kept:
        raise JournalError(
            f"the run {folder.name} ended before its first record was written", hint="start it again"
        )
    return Recovered(kept, min(synchronised, len(kept)), notes)


def _records(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"


def _damaged(folder: Path, what: str) -> JournalError:
    return JournalError(
        f"the journal of {folder.name} is damaged: {what}",
        hint=f"`tissu audit {folder.name}` says more; a run is only resumed from an intact journal",
    )


def _with_blobs(folder: Path, records: list[Record], synchronised: int) -> list[Record]:
    """Records up to the first, of those the disk was not known to have, whose blobs are not whole."""
    blobs = BlobFolder(folder / "blobs")
    for record in records[synchronised:]:
        try:
            for reference in record.blobs:
                blobs.get(reference)
        except JournalError:
            return records[: record.seq - 1]
    return records


def _cut(path: Path, lines: int) -> None:
    """Keep a number of lines of a file."""
    with path.open("r+b") as file:
        size = sum(len(next(file)) for _ in range(lines))
        file.truncate(size)
        os.fsync(file.fileno())
