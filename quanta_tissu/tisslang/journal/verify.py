"""Is a journal what was written? Finds what was changed, and names the record.

The chain of hashes proves the inside of a journal against its end, and anchors prove the end. So nobody changes a
record, takes one away, puts one in, moves one or branches the chain without a new end; and who makes a whole new
chain, or cuts the end off, has to change the anchor in the project, too. Somebody who can do both is found only by
anchors that were kept where they cannot write. What a run did not record, no audit can find.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.anchor import Anchor, read_anchor, read_anchors
from quanta_tissu.tisslang.journal.blobs import BlobFolder, reference_of
from quanta_tissu.tisslang.journal.lock import is_held
from quanta_tissu.tisslang.journal.reading import JOURNAL, split_lines
from quanta_tissu.tisslang.journal.record import FIRST, Record, parse_line


class Change(StrEnum):
    """What was done to a journal."""

    ALTERED = "altered"
    """A record's line, or its hash, is not the one that was written."""
    REWRITTEN = "rewritten"
    """A record is sound by itself, and not the one that was there."""
    MISSING = "missing"
    """A record between others is not there."""
    MOVED = "moved"
    """A record stands in another place than it was written in."""
    REPEATED = "repeated"
    """A record stands there twice."""
    FORK = "fork"
    """Two records have the same predecessor."""
    ADDED = "added"
    """There is more than was written."""
    CUT = "cut"
    """The end, from a record on, is not there."""
    TORN = "torn"
    """The last line has no end: the process was ended while it wrote, or somebody has added to it."""
    UNANCHORED = "unanchored"
    """It cannot be known whether the end is the one that was written."""
    BLOB = "blob"
    """A content is missing, altered, or vouched for by no record."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written, or that cannot be told.

    Attributes:
        change: What was done.
        record: Number of the record concerned; None if there is none.
        message: What is wrong, as a sentence without its end.
        severe: Whether the journal cannot be trusted for it; otherwise a killed process may leave it behind.
    """

    change: Change
    record: int | None
    message: str
    severe: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about a journal.

    Attributes:
        run: Name of the run.
        records: How many there are.
        blobs: How many contents the records vouch for.
        head: Hash of the last record; zeros if there is none.
        anchors: How many anchors the journal was compared with that were kept elsewhere.
        running: Whether a process holds the run now.
        findings: What is not as it was written, in the order of the records.
    """

    run: str
    records: int
    blobs: int
    head: str
    anchors: int
    running: bool
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether the journal is what was written, as far as can be known."""
        return not any(finding.severe for finding in self.findings)


def verify(folder: Path, *, anchors: Path | None = None) -> Verdict:
    """Compare a run's journal with its own hashes, its anchors and its blobs. Nothing is changed.

    Args:
        folder: The run's folder.
        anchors: A file of anchors that was kept elsewhere, to compare with, too.

    Raises:
        JournalError: There is no journal, or the file of anchors cannot be used.
    """
    findings: list[Finding] = []
    elsewhere = read_anchors(anchors).get(folder.name, []) if anchors is not None else []
    if anchors is not None and not elsewhere:
        what = f"{anchors} knows nothing of this run, and proves nothing about it"
        findings.append(Finding(Change.UNANCHORED, None, what, severe=False))
    try:
        anchor = read_anchor(folder)  # before the journal, which may grow meanwhile
    except JournalError as error:
        anchor = None
        findings.append(Finding(Change.UNANCHORED, None, error.message))
    running = is_held(folder / "lock")
    try:
        content = (folder / JOURNAL).read_bytes()
    except FileNotFoundError:
        if anchor is None and not elsewhere:
            raise JournalError(
                f"there is no run at {folder}", hint="`tissu runs` lists the runs of a project"
            ) from None
        content = b""
    lines, torn = split_lines(content)
    entries = _parsed(lines)
    findings += _chain(entries)
    findings += _end(entries, torn, anchor, elsewhere, running)
    known = {record.seq: record for record in reversed(entries) if isinstance(record, Record)}
    findings += _blobs(folder, list(known.values()))
    last = next((one for one in reversed(entries) if isinstance(one, Record)), None)
    return Verdict(
        run=folder.name,
        records=len(lines),
        blobs=len({reference for record in known.values() for reference in record.blobs}),
        head=last.hash if last else FIRST,
        anchors=len(elsewhere),
        running=running,
        findings=tuple(sorted(findings, key=lambda one: (one.record is None, one.record or 0))),
    )


@dataclass(frozen=True, slots=True)
class _Broken:
    """A line that is no record as it was written.

    Attributes:
        seq: Which one it was, as far as can be told.
        claimed: The hash that it says it has.
        why: What is wrong with it.
    """

    seq: int
    claimed: str | None
    why: str


def _parsed(lines: Sequence[bytes]) -> list[Record | _Broken]:
    entries: list[Record | _Broken] = []
    for line in lines:
        try:
            entries.append(parse_line(line))
        except ValueError as error:
            try:
                claimed = json.loads(line).get("hash")
            except (ValueError, AttributeError, RecursionError):
                claimed = None
            seq = entries[-1].seq + 1 if entries else 1
            entries.append(_Broken(seq, claimed if isinstance(claimed, str) else None, str(error)))
    return entries


def _chain(entries: Sequence[Record | _Broken]) -> Iterator[Finding]:
    """What is wrong with the order of the records, and with each by itself."""
    hashes = {one.hash: one for one in reversed(entries) if isinstance(one, Record)}
    successors: dict[str, list[int]] = {}
    for line, one in enumerate(entries, 1):
        if isinstance(one, Record):
            successors.setdefault(one.previous, []).append(line)
    seen: set[str] = set()
    before: str | None = FIRST  # hash of the line before; None if nobody knows
    expected = 1
    for line, one in enumerate(entries, 1):
        place = f"record {one.seq}" if one.seq == line else f"record {one.seq} (line {line})"
        if isinstance(one, _Broken):
            yield Finding(Change.ALTERED, one.seq, f"{place} {one.why}")
            before, expected = one.claimed, one.seq + 1
            continue
        if one.hash in seen:
            yield Finding(Change.REPEATED, one.seq, f"{place} stands there a second time")
            continue  # what follows it follows on the line before it
        if before is not None and one.previous != before:
            yield _misplaced(one, place, line, expected, entries, hashes, successors)
        elif one.seq != expected:
            yield Finding(Change.ALTERED, one.seq, f"{place} should have the number {expected}")
        seen.add(one.hash)
        before, expected = one.hash, one.seq + 1


def _misplaced(
    one: Record,
    place: str,
    line: int,
    expected: int,
    entries: Sequence[Record | _Broken],
    hashes: dict[str, Record],
    successors: dict[str, list[int]],
) -> Finding:
    """Why a record does not follow on the line before it."""
    siblings = [entries[other - 1].seq for other in successors[one.previous] if other != line]
    rivals = [
        other
        for other in successors[one.previous]
        if (rival := entries[other - 1]) and isinstance(rival, Record) and rival.hash != one.hash
    ]
    if siblings and rivals:
        others = " and ".join(f"line {other}" for other in rivals)
        what = f"{place} has the same predecessor as the record on {others}: the chain branches"
        return Finding(Change.FORK, one.seq, what)
    if one.previous in hashes or (one.previous == FIRST and line > 1):
        where = f"behind record {hashes[one.previous].seq}" if one.previous in hashes else "at the beginning"
        return Finding(Change.MOVED, one.seq, f"{place} belongs {where}")
    if one.seq > expected:
        gone = f"record {expected}" if one.seq == expected + 1 else f"records {expected} to {one.seq - 1}"
        verb = "is" if one.seq == expected + 1 else "are"
        return Finding(Change.MISSING, expected, f"{gone} before {place} {verb} missing")
    return Finding(Change.REWRITTEN, one.seq, f"{place} follows on another record than the one before it")


def _end(
    entries: Sequence[Record | _Broken],
    torn: bytes,
    anchor: Anchor | None,
    elsewhere: Sequence[Anchor],
    running: bool,
) -> Iterator[Finding]:
    """Whether the end is the one that was written."""
    by_number: dict[int, str] = {}
    for one in entries:
        if isinstance(one, Record):
            by_number.setdefault(one.seq, one.hash)
    last = max([*by_number, len(entries)], default=0)
    newest = max(elsewhere, key=lambda one: one.seq, default=None)
    for noted, where in [(anchor, "its anchor"), *((one, "the anchors kept elsewhere") for one in elsewhere)]:
        if noted is None:
            continue
        if noted.seq > last:
            lost = last >= noted.synchronised and not noted.sure  # with the machine's power, perhaps
            yield Finding(Change.CUT, last + 1, _lost(last + 1, noted, where, lost), severe=not lost)
        elif by_number.get(noted.seq, noted.hash) != noted.hash:
            what = f"record {noted.seq} is not the one that {where} names: the journal was written anew"
            yield Finding(Change.REWRITTEN, noted.seq, what)
    if anchor is None:
        sure = newest is not None and newest.seq == last
        what = "there is no anchor in the project: nobody can say whether the end is the one that was written"
        yield Finding(Change.UNANCHORED, None, what, severe=not sure)
    elif not running and last > anchor.seq:
        # A process that is killed may have written one record and not yet its anchor.
        more = f"record {last}" if last == anchor.seq + 1 else f"records {anchor.seq + 1} to {last}"
        if anchor.closed:
            yield Finding(Change.ADDED, anchor.seq + 1, f"{more} came when the journal was closed")
        elif last > anchor.seq + 1:
            power = "" if anchor.sure else ", or the machine lost its power"
            what = f"{more} came behind the anchor: somebody has added them{power}"
            yield Finding(Change.ADDED, anchor.seq + 1, what, severe=anchor.sure)
        else:
            what = f"{more} is not anchored: the process was killed in between, or somebody has added it"
            yield Finding(Change.UNANCHORED, last, what, severe=False)
    if torn:
        after_closing = anchor is not None and anchor.closed
        why = "came when the journal was closed" if after_closing else "are of a line that was never completed"
        what = f"the last {len(torn)} bytes {why}"
        yield Finding(Change.TORN, last + 1, what, severe=after_closing)


def _lost(first: int, anchor: Anchor, where: str, power: bool) -> str:
    """What an anchor knows of records that are not there."""
    gone = f"record {first} is" if first == anchor.seq else f"records {first} to {anchor.seq} are"
    perhaps = ", or lost with the machine's power before the disk had it" if power else ""
    return f"{gone} missing, which {where} knew: the end was cut off{perhaps}"


def _blobs(folder: Path, records: Sequence[Record]) -> Iterator[Finding]:
    """Whether the contents that records vouch for are there."""
    blobs = BlobFolder(folder / "blobs")
    named: set[str] = set()
    for record in sorted(records, key=lambda one: one.seq):
        for reference in record.blobs:
            if reference in named:
                continue
            named.add(reference)
            try:
                blobs.get(reference)
            except (JournalError, OSError) as error:
                message = error.message if isinstance(error, JournalError) else f"{reference}: {error}"
                yield Finding(Change.BLOB, record.seq, f"{message}; record {record.seq} vouches for it")
    present = sorted((folder / "blobs").iterdir()) if (folder / "blobs").is_dir() else []
    for path in present:
        if f"sha256:{path.name}" in named:
            continue
        sound = path.is_file() and reference_of(path.read_bytes()) == f"sha256:{path.name}"
        left = (
            "was left by a process that was killed" if sound or path.name.startswith(".") else "is none of its own"
        )
        what = f"blobs/{path.name} is named by no record: it {left}"
        yield Finding(Change.BLOB, None, what, severe=not (sound or path.name.startswith(".")))
