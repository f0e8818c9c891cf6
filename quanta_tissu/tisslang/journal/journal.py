"""The journal of a run: what was meant to be done and what came of it, written before and after it is done.

A run's folder holds `journal.jsonl`, `blobs/` and `lock`; the end of the journal is anchored beside the folder of
runs (`anchor.py`). A record is in the file, and survives the end of the process, when `append` returns; with
`durable` it also survives the end of the machine, for which threads that wait at the same time pay once.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.anchor import (
    Anchor,
    AnchorFile,
    anchor_path,
    append_anchor,
    boot_id,
    synchronise_folder,
)
from quanta_tissu.tisslang.journal.blobs import BlobFolder, expanded, reference_of, shortened
from quanta_tissu.tisslang.journal.lock import RunLock
from quanta_tissu.tisslang.journal.reading import JOURNAL, read_records, recover
from quanta_tissu.tisslang.journal.record import FIRST, Record, make_record
from quanta_tissu.tisslang.journal.redaction import Redactor

_LATEST = 1.0  # seconds after which records reach the disk with the next one, also if none is durable


class Journal:
    """An open journal, which no other process can open meanwhile. May be used by several threads.

    Use `create`, `open` or `read`.
    """

    def __init__(
        self,
        folder: Path,
        lock: RunLock | None,
        records: list[Record],
        redactor: Redactor | None = None,
        anchors: Path | None = None,
    ) -> None:
        self.folder = folder
        self.redactor = redactor or Redactor()
        self._lock_file = lock
        self._anchors = anchors
        self._records = records
        self._blobs = BlobFolder(folder / "blobs")
        self._new_blobs: list[str] = []
        self._vouched = {reference for record in records for reference in record.blobs}
        self._write_lock = threading.RLock()
        self._disk_lock = threading.Lock()
        self._broken: str | None = None
        self._closed = False
        if lock is None:
            self._broken = "it was opened for reading only"
            return
        self._descriptor = os.open(
            folder / JOURNAL, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        self._size = os.fstat(self._descriptor).st_size
        self._synchronised = 0  # number of the last record that the disk has
        self._waiting_since: float | None = None
        self._anchor = AnchorFile(anchor_path(folder))

    @classmethod
    def create(
        cls, folder: Path, *, redactor: Redactor | None = None, anchors: Path | None = None, **first: Any
    ) -> Self:
        """Start the journal of a new run; its first record, `run.start`, is durable.

        Args:
            folder: The run's folder, which must not hold a journal. Made if it is missing.
            redactor: Hides the values of secrets in everything that is written.
            anchors: A file elsewhere to which the end of the journal is appended each time the disk has it.
            first: Fields of the first record; bytes in them are stored as blobs.

        Raises:
            JournalError: There is a journal already, or nothing can be written there.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = RunLock(folder / "lock")
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            if (folder / JOURNAL).exists() or anchor_path(folder).exists():
                raise JournalError(f"there is a run {folder.name} already", hint="choose another name for the run")
            journal = cls(folder, lock, [], redactor, anchors)
            try:
                journal.append("run.start", durable=True, **first)
                journal._anchor.synchronise()
                for made in (folder, folder.parent):
                    synchronise_folder(made)
            except BaseException:
                journal._let_go()
                if not journal._records:  # nothing was begun: leave nothing behind
                    (folder / JOURNAL).unlink(missing_ok=True)
                    anchor_path(folder).unlink(missing_ok=True)
                raise
        except BaseException as error:
            lock.close()
            if isinstance(error, OSError):
                raise _unwritable(folder, error) from error
            raise
        return journal

    @classmethod
    def open(cls, folder: Path, *, redactor: Redactor | None = None, anchors: Path | None = None) -> Self:
        """Go on with the journal of a run.

        A line that was torn when the process or the machine ended is cut off, and a `note` says so.

        Args:
            folder: The run's folder.
            redactor: Hides the values of secrets in everything that is written.
            anchors: As in `create`.

        Raises:
            JournalError: There is none, another process holds it, or it is not what was written.
        """
        if not (folder / JOURNAL).is_file():
            raise JournalError(f"there is no run at {folder}", hint="`tissu runs` lists the runs of a project")
        try:
            lock = RunLock(folder / "lock")
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            found = recover(folder)
            journal = cls(folder, lock, found.records, redactor, anchors)
            journal._synchronised = found.synchronised
            try:
                journal._note_end()
                # Otherwise a failure of power could leave records behind an anchor that says it was closed.
                journal._anchor.synchronise()
                if found.notes:
                    journal.append("note", durable=True, text="; ".join(found.notes), recovered=True)
            except BaseException:
                journal._let_go()
                raise
        except BaseException as error:
            lock.close()
            if isinstance(error, OSError):
                raise _unwritable(folder, error) from error
            raise
        return journal

    @classmethod
    def read(cls, folder: Path, *, redactor: Redactor | None = None) -> Self:
        """Look at the journal of a run, also while another process goes on with it; nothing can be written.

        Args:
            folder: The run's folder.
            redactor: For who asks the journal for it.

        Raises:
            JournalError: There is none, or it is not what was written.
        """
        return cls(folder, None, read_records(folder), redactor)

    @property
    def records(self) -> tuple[Record, ...]:
        """All records up to now, in order."""
        return tuple(self._records)

    def append(self, kind: str, *, durable: bool = False, **fields: Any) -> Record:
        """Write a record.

        Args:
            kind: What it tells: `effect.intent`.
            durable: Whether to return only when the disk has it, and everything before it.
            fields: Values of JSON's types. Secrets in them are hidden; texts of more than 200 characters become
                blobs under `<name>_blob`, bytes become references (`blobs.shortened`).

        Returns:
            The record as a later process will read it.

        Raises:
            JournalError: It cannot be written (a full disk), and is not there; or a value is none of JSON's.
        """
        fields = shortened(self.redactor.value(fields), self.put)
        with self._write_lock:
            self._check()
            previous = self._records[-1].hash if self._records else FIRST
            blobs = tuple(self._new_blobs)
            try:
                record, line = make_record(
                    len(self._records) + 1, datetime.now(UTC), kind, fields, previous, blobs
                )
            except (TypeError, ValueError, RecursionError) as error:
                raise JournalError(
                    f"a record of {kind!r} cannot be written: {error}", hint="records hold values of JSON"
                ) from None
            self._write(line, record)
            del self._new_blobs[: len(blobs)]
            if self._waiting_since is None:
                self._waiting_since = time.monotonic()
            late = time.monotonic() - self._waiting_since > _LATEST
        if durable or late:
            self._synchronise(record.seq)
        return record

    def put(self, content: bytes) -> str:
        """Store a content, without the secrets in it; the next record vouches for it.

        Returns:
            Its reference, `sha256:…`.

        Raises:
            JournalError: It cannot be written.
        """
        content = self.redactor.data(content)
        reference = reference_of(content)
        with self._write_lock:
            self._check()
        if reference in self._vouched:
            return reference
        try:
            self._blobs.put(content)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        with self._write_lock:
            if reference not in self._vouched:
                self._vouched.add(reference)
                self._new_blobs.append(reference)
        return reference

    def get(self, reference: str) -> bytes:
        """The content of a reference.

        Raises:
            JournalError: It is missing or altered.
        """
        return self._blobs.get(reference)

    def expanded(self, record: Record) -> dict[str, Any]:
        """The fields of a record as they were given to `append`: long texts in their places again.

        Raises:
            JournalError: A blob is missing or altered.
        """
        return expanded(record.fields, self.get)

    def close(self) -> None:
        """Let the disk have everything, and others the run."""
        with self._write_lock:
            if self._closed or self._lock_file is None:
                return
        try:
            if self._broken is None:
                self._synchronise(len(self._records), closing=True)
        finally:
            with self._write_lock:
                self._closed = True
                self._let_go()
                self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _let_go(self) -> None:
        os.close(self._descriptor)
        self._anchor.close()

    def _check(self) -> None:
        if self._closed:
            raise JournalError(f"the journal of {self.folder.name} is closed")
        if self._broken is not None:
            raise JournalError(
                f"the journal of {self.folder.name} cannot go on: {self._broken}",
                hint=f"see to the disk, then `tissu resume {self.folder.name}`",
            )

    def _check_own(self) -> None:
        """Nobody else has written into the journal, or put another in its place, since the last record."""
        try:
            own, there = os.fstat(self._descriptor), os.lstat(self.folder / JOURNAL)
            same = (own.st_ino, own.st_size) == (there.st_ino, self._size) and own.st_dev == there.st_dev
        except OSError:
            same = False
        if not same:
            self._broken = "something else has written into it, or replaced it"
            raise JournalError(
                f"the journal of {self.folder.name} is not as its last record left it: {self._broken}",
                hint=f"`tissu audit {self.folder.name}` says what of it can still be believed",
            )

    def _write(self, line: bytes, record: Record) -> None:
        """Add a line as a whole or not at all."""
        self._check_own()
        try:
            written = 0
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
            self._records.append(record)
            self._note_end()
        except BaseException as error:
            if self._records and self._records[-1] is record:
                self._records.pop()
            try:
                os.ftruncate(self._descriptor, self._size)
                self._note_end()
            except OSError as second:
                self._broken = f"the record {record.seq} could not be taken back ({second.strerror})"
            if isinstance(error, OSError):
                raise _unwritable(self.folder, error) from error
            raise
        self._size += len(line)

    def _note_end(self, *, closed: bool = False) -> Anchor | None:
        if not self._records:
            return None
        last = self._records[-1]
        anchor = Anchor(
            run=self.folder.name,
            seq=last.seq,
            hash=last.hash,
            synchronised=min(self._synchronised, last.seq),
            closed=closed,
            boot=boot_id(),
        )
        self._anchor.write(anchor)
        return anchor

    def _synchronise(self, seq: int, *, closing: bool = False) -> None:
        """Return when the disk has a record; all who come while it is busy are served together then."""
        with self._disk_lock:
            if self._synchronised >= seq and not closing:
                return
            with self._write_lock:
                self._check()
                target, self._waiting_since = len(self._records), None
            try:
                self._blobs.synchronise()
                os.fdatasync(self._descriptor)
            except OSError as error:
                # What the system has thrown away it will not try again, so nobody may build on this journal now.
                self._broken = f"the disk refused what was written ({error.strerror})"
                raise _unwritable(self.folder, error) from error
            self._synchronised = target
            with self._write_lock:
                anchor = self._note_end(closed=closing)
            if self._anchors is not None and anchor is not None:
                append_anchor(self._anchors, anchor, durable=closing)


def _unwritable(folder: Path, error: OSError) -> JournalError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return JournalError(
            f"the disk is full: the journal of {folder.name} cannot be written; what was written is intact",
            hint=f"free some space, then `tissu resume {folder.name}`",
        )
    return JournalError(
        f"the journal of {folder.name} cannot be written: {error.strerror or error}",
        hint=f"check the permissions of {folder} and its disk",
    )
