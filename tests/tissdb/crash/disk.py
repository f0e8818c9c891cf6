"""A disk that remembers: every write and sync that SQLite asks of it, and what a power cut would have left.

SQLite writes through a file layer of ours, which passes everything on and keeps a list. From the list the files
are made as they may be after a cut at any place in it: what was synced is there; of what was not, anything may be.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from quanta_tissu.tissdb.sqlite.protection import checksum_layer

SECTOR = 512

MODES = ("drop", "keep", "mix", "torn", "reorder")
"""What became of writes that were not synced: none is there, all, some, some sectors, some in another order."""


@dataclass(eq=False)
class Event:
    """Something asked of the disk.

    Attributes:
        kind: write, truncate, sync, delete, or mark: the workload has been told that something is done.
        name: The file's name; of a mark, nothing.
        offset: Where a write begins, or the length after a truncation.
        data: What is written.
    """

    kind: str
    name: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass
class Disk:
    """Keeps what was asked of it.

    Attributes:
        events: In order.
    """

    events: list[Event] = field(default_factory=list)

    def mark(self) -> None:
        """Something is done, and somebody was told."""
        self.events.append(Event("mark"))

    def before(self, kind: str, name: str) -> None:
        """Called before every call; may raise."""

    def shortened(self, data: bytes) -> bytes:
        """What of a write reaches the file although the call is about to fail."""
        return b""


class RecordingFile(apsw.VFSFile):
    def __init__(self, disk: Disk, base: str, name, flags) -> None:
        self.disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.name = Path(path).name if path else ""
        super().__init__(base, name, flags)

    def xWrite(self, data, offset):  # noqa: N802
        if part := self.disk.shortened(bytes(data)):
            super().xWrite(part, offset)
        self.disk.before("write", self.name)
        super().xWrite(data, offset)
        self.disk.events.append(Event("write", self.name, offset, bytes(data)))

    def xTruncate(self, size):  # noqa: N802
        self.disk.before("truncate", self.name)
        super().xTruncate(size)
        self.disk.events.append(Event("truncate", self.name, size))

    def xSync(self, flags):  # noqa: N802
        self.disk.before("sync", self.name)
        # The host's own disk need not wait: what would be there is worked out from the list.
        self.disk.events.append(Event("sync", self.name))


class RecordingLayer(apsw.VFS):
    """A file layer under a name; it lives as long as it is held.

    Its writes have their checksums already; if a cipher stands on top of it, they are encrypted already.
    """

    def __init__(self, disk: Disk, name: str, *, encrypted: bool = False) -> None:
        self.disk = disk
        self.base = "unix" if encrypted else checksum_layer()
        super().__init__(name, self.base)

    def xOpen(self, name, flags):  # noqa: N802
        return RecordingFile(self.disk, self.base, name, flags)

    def xDelete(self, name, sync):  # noqa: N802
        self.disk.before("delete", Path(name).name)
        super().xDelete(name, sync)
        self.disk.events.append(Event("delete", Path(name).name))


@dataclass
class Cut:
    """The files at one place of the list.

    Attributes:
        at: How many events had happened.
        marks: How many of them were marks.
        synced: What is on the disk for certain, by name.
        pending: What was written since and may be there or not.
    """

    at: int
    marks: int
    synced: dict[str, bytearray]
    pending: list[Event]

    def files(self, mode: str, seed: int) -> dict[str, bytearray]:
        """The files after a cut here."""
        chance = random.Random(f"{seed} {self.at} {mode}")
        files = {name: bytearray(data) for name, data in self.synced.items()}
        pending = list(self.pending)
        if mode == "drop":
            return files
        if mode == "reorder":
            chance.shuffle(pending)
        for event in pending:
            if mode == "torn" and event.kind == "write":
                for start in range(0, len(event.data), SECTOR):
                    if chance.random() < 0.5:
                        part = event.data[start : start + SECTOR]
                        _apply(files, Event("write", event.name, event.offset + start, part))
            elif mode == "keep" or chance.random() < 0.5:
                _apply(files, event)
        return files


def cuts(events: list[Event]) -> Iterator[Cut]:
    """A cut before the first event, and behind every one that changes what may be there."""
    synced: dict[str, bytearray] = {}
    pending: list[Event] = []
    marks = 0
    yield Cut(0, 0, synced, pending)
    for at, event in enumerate(events, 1):
        if event.kind == "mark":
            marks += 1
        elif event.kind == "sync":
            # File systems keep the order of names made and removed: a sync makes earlier removals certain, too.
            certain = [earlier for earlier in pending if earlier.name == event.name or earlier.kind == "delete"]
            for earlier in certain:
                _apply(synced, earlier)
            pending = [earlier for earlier in pending if earlier not in certain]
        else:
            pending.append(event)
        yield Cut(at, marks, synced, pending)


def _apply(files: dict[str, bytearray], event: Event) -> None:
    if event.kind == "delete":
        files.pop(event.name, None)
        return
    data = files.setdefault(event.name, bytearray())
    if event.kind == "truncate":
        del data[event.offset :]
        data.extend(bytes(event.offset - len(data)))
    else:
        if len(data) < event.offset:
            data.extend(bytes(event.offset - len(data)))
        data[event.offset : event.offset + len(event.data)] = event.data
