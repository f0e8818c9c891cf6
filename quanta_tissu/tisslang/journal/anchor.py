"""Anchors: the end of a journal, noted where the journal is not.

A chain of hashes shows any change inside of it, but not that its end was cut off. So the number and the hash of
the last record are also kept in a file outside of the run's folder, which is written over with each record. Who
can write both can shorten both; against them there is a second file, to which lines are only ever appended: it may
lie on another machine, or where only its owner may write.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from quanta_tissu.errors import JournalError

_LENGTH = 512  # bytes of an anchor's file: a sector, which a disk writes as a whole or not at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The end of a journal at some time.

    Attributes:
        run: Name of the run.
        seq: Number of the last record.
        hash: Its hash.
        synchronised: Number of the last record that the disk is known to have.
        closed: Whether the journal was closed then, so that nothing may come behind.
        boot: Which start of the machine it was; empty where the system does not tell.
    """

    run: str
    seq: int
    hash: str
    synchronised: int
    closed: bool = False
    boot: str = ""

    @property
    def sure(self) -> bool:
        """Whether the machine has been up since; only a failure of power loses what was written and not synced."""
        return bool(self.boot) and self.boot == boot_id()


@cache
def boot_id() -> str:
    """Names this start of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def anchor_path(folder: Path) -> Path:
    """Where the anchor of a run's folder lies: `.tissu/anchors/<run>.json` for `.tissu/runs/<run>`."""
    folder = Path(os.path.abspath(folder))
    beside = folder.parent.parent if folder.parent.name == "runs" else folder.parent
    return beside / "anchors" / f"{folder.name}.json"


class AnchorFile:
    """The anchor of one run, written over and over.

    Args:
        path: Its file; made with its folder.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = path.parent
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def write(self, anchor: Anchor) -> None:
        """Note an end instead of the one before."""
        line = json.dumps(asdict(anchor)).ljust(_LENGTH - 1) + "\n"
        os.pwrite(self._descriptor, line.encode(), 0)

    def synchronise(self) -> None:
        """Wait until the disk has it, and the name of its file.

        Raises:
            OSError: The disk refuses.
        """
        os.fsync(self._descriptor)
        synchronise_folder(self._folder)

    def close(self) -> None:
        """Let the disk have the last one."""
        with suppress(OSError):
            os.fdatasync(self._descriptor)
        os.close(self._descriptor)


def synchronise_folder(folder: Path) -> None:
    """Wait until the disk has the names of what is in a folder.

    Raises:
        OSError: The disk refuses.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_anchor(folder: Path) -> Anchor | None:
    """The anchor of a run; None if there is none.

    Raises:
        JournalError: There is something else in its place.
    """
    path = anchor_path(folder)
    try:
        content = path.read_bytes()
        return _parsed(content) if content.strip() else None  # empty: the process ended when it was made
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise JournalError(
            f"{path} is no anchor of a run ({error})", hint="`tissu audit RUN` says what can be known without it"
        ) from None


def _parsed(line: bytes | str) -> Anchor:
    """The anchor that a line says.

    Raises:
        ValueError: It says none.
    """
    content = json.loads(line)
    match content:
        case {
            "run": str(),
            "seq": int(seq),
            "hash": str(),
            "synchronised": int(),
            "closed": bool(),
            "boot": str(),
            **rest,
        }:
            if seq > 0 and not rest:
                return Anchor(**content)
    raise ValueError("other fields than those of an anchor")


def append_anchor(path: Path, anchor: Anchor, *, durable: bool) -> None:
    """Add a line to a file of anchors that is kept elsewhere.

    Args:
        path: The file.
        anchor: What to note.
        durable: Whether to wait until the disk has it.

    Raises:
        JournalError: It cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(anchor)) + "\n")
            file.flush()
            if durable:
                os.fsync(file.fileno())
    except OSError as error:
        raise JournalError(
            f"the anchor cannot be noted in {path}: {error.strerror}", hint="name a file that can be written"
        ) from error


def read_anchors(path: Path) -> dict[str, list[Anchor]]:
    """The anchors in a file that was kept elsewhere, by the names of their runs.

    Raises:
        JournalError: The file cannot be read, or holds something else.
    """
    found: dict[str, list[Anchor]] = {}
    try:
        for line in path.read_text("utf-8").splitlines():
            if line.strip():
                anchor = _parsed(line)
                found.setdefault(anchor.run, []).append(anchor)
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}", hint="name a file of anchors") from error
    except ValueError as error:
        raise JournalError(f"{path} is no file of anchors ({error})", hint="name a file of anchors") from None
    return found
