"""Is the log what it was? Replays its chain, and compares its end with what was noted elsewhere.

A chain of hashes shows an entry that was altered, removed, added or moved. Whoever can write the file can also
compute a whole new chain, or cut the end off: only a head of the log that was kept where they cannot write shows
that. Such a file of anchors has a line of JSON for each.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.backend import Connection
from quanta_tissu.tissdb.log import EMPTY, Head, entries, entry_hash


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What replaying the log has shown.

    Attributes:
        entries: How many there are.
        head: The end of the log.
        anchors: How many anchors it was compared with.
        problem: What is wrong, None if nothing is.
        seq: Number of the first entry that is wrong.
    """

    entries: int
    head: Head
    anchors: int = 0
    problem: str | None = None
    seq: int | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem is None


def read_head(connection: Connection) -> Head:
    """The end of the log, as the database says."""
    [(seq, hash)] = connection.rows("SELECT seq, hash FROM _head")
    return Head(seq, bytes(hash))


def verify_log(connection: Connection, anchors: Iterable[Head] = ()) -> AuditReport:
    """Replay the log against its own hashes, its head and anchors; stops at the first entry that is wrong.

    Args:
        connection: Sees one state of the database throughout.
        anchors: Heads that were noted elsewhere.
    """
    noted: dict[int, set[bytes]] = {}
    for anchor in anchors:
        noted.setdefault(anchor.seq, set()).add(anchor.hash)
    compared = sum(map(len, noted.values()))
    head, before, seq = read_head(connection), EMPTY, 0

    def wrong(what: str, where: int) -> AuditReport:
        return AuditReport(seq, head, compared, what, where)

    if noted.get(0, {EMPTY}) != {EMPTY}:
        return wrong("an anchor of the empty log is none", 0)
    for entry in entries(connection):
        if entry.seq != seq + 1:
            return wrong(f"entry {seq + 1} is missing", seq + 1)
        seq = entry.seq
        hash = entry_hash(
            before,
            seq,
            entry.time,
            entry.actor,
            entry.action,
            entry.ok,
            entry.collection,
            entry.id,
            entry.digest,
            entry.detail,
        )
        if hash != entry.hash:
            return wrong(f"entry {seq} was altered, or the ones before it were exchanged", seq)
        if noted.get(seq, {hash}) != {hash}:
            return wrong(f"entry {seq} is another one than when its head was noted: the log was rewritten", seq)
        before = hash
    if (head.seq, head.hash) != (seq, before):
        return wrong(
            f"the log ends with entry {seq}, but its head says {head.seq}: its end was cut off or added", seq
        )
    beyond = [number for number in noted if number > seq]
    if beyond:
        return wrong(f"the log ends with entry {seq}, but entry {max(beyond)} was noted: its end was cut off", seq)
    return AuditReport(seq, head, compared)


def append_anchor(path: Path, uuid: str, head: Head) -> None:
    """Note a head in a file of anchors, and wait until the disk has it.

    Raises:
        DatabaseError: The file holds something else, or cannot be written.
    """
    line = json.dumps({"database": uuid, "seq": head.seq, "hash": head.hash.hex(), "time": round(time.time(), 3)})
    try:
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as there:
                if not there.readline(10_000).startswith(b'{"database":'):
                    raise DatabaseError(
                        f"{path} is no file of anchors", hint="name another one: nothing was added"
                    )
        with path.open("a", encoding="ascii") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DatabaseError(
            f"the anchor cannot be noted in {path}: {error.strerror}", hint="name a file that can be written"
        ) from None


def read_anchors(path: Path, uuid: str) -> list[Head]:
    """The heads of a database that a file of anchors holds.

    Raises:
        DatabaseError: The file cannot be read, is no such file, or knows other databases only.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise DatabaseError(
            f"{path} cannot be read: {error.strerror}",
            hint="name a file of anchors: `tissu db audit anchor` makes one",
        ) from None
    except UnicodeDecodeError:
        raise DatabaseError(f"{path} is no file of anchors", hint="`tissu db audit anchor` makes one") from None
    found, others = [], 0
    for number, line in enumerate(lines, 1):
        try:
            noted = json.loads(line)
            head = Head(int(noted["seq"]), bytes.fromhex(noted["hash"]))
        except (ValueError, KeyError, TypeError):
            raise DatabaseError(f"line {number} of {path} is no anchor: {line[:80]!r}") from None
        if noted.get("database") == uuid:
            found.append(head)
        else:
            others += 1
    if not found:
        raise DatabaseError(
            f"{path} has no anchor of this database ({others} of others)",
            hint="is it the right file? `tissu db audit anchor` notes one",
        )
    return found
