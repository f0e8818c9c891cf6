"""What a run changed in files: contents as far as they were kept, and differences of texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.blobs import BlobFolder, is_reference
from quanta_tissu.tisslang.report.story import Entry

AROUND = 3  # lines that are shown around those that differ


@dataclass(frozen=True, slots=True)
class Change:
    """A file that is another one than before.

    Attributes:
        kind: `A` (new), `M` (changed), `D` (gone).
        path: Which.
        before: Digest of its content; None if there was none.
        after: The same, afterwards.
    """

    kind: str
    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """How two texts differ.

    Attributes:
        added: Lines that are new.
        removed: Lines that are gone.
        lines: `(sign, old number, new number, text)`; the sign is `+`, `-`, a blank, or `~` for lines left out.
    """

    added: int
    removed: int
    lines: tuple[tuple[str, int | None, int | None, str], ...]


class Contents:
    """What files held, by the digests that effects name.

    Args:
        blobs: The run's contents.
        entries: Its effects, in order: what they wrote is known from them.
    """

    def __init__(self, blobs: BlobFolder, entries: Iterable[Entry]) -> None:
        self._blobs = blobs
        self._known: dict[str, bytes] = {}
        for entry in entries:
            args = entry.fields.get("args")
            text = args.get("text") if isinstance(args, dict) else None
            if not isinstance(text, str):
                continue
            written = text.encode("utf-8", "surrogatepass")
            for change in changes_of(entry):
                before = self.get(change.before) if change.before else b""
                for content in (written, None if before is None else before + written):
                    if content is not None and _digest(content) == change.after:
                        self._known[change.after] = content

    def get(self, digest: str | None) -> bytes | None:
        """What had a digest; None if it was not kept."""
        if digest is None:
            return b""
        if digest in self._known:
            return self._known[digest]
        if not is_reference(digest):
            return None
        try:
            return self._blobs.get(digest)
        except (JournalError, OSError):
            return None


def changes_of(entry: Entry) -> list[Change]:
    """The files that an effect changed."""
    files = (entry.result or {}).get("files")
    found = []
    for one in files if isinstance(files, list) else []:
        match one:
            case [str(kind), str(path), str() | None as before, str() | None as after]:
                found.append(Change(kind, path, before, after))
    return found


def in_all(entries: Iterable[Entry]) -> list[Change]:
    """What all effects together changed, a file once; what was discarded with its step does not count."""
    first: dict[str, Change] = {}
    last: dict[str, Change] = {}
    for entry in entries:
        if _in_transaction(entry):
            continue
        for change in changes_of(entry):
            first.setdefault(change.path, change)
            last[change.path] = change
    out = []
    for path, change in sorted(last.items()):
        before, after = first[path].before, change.after
        if before == after and change.kind != "A":
            continue
        kind = "D" if after is None else "A" if before is None else "M"
        out.append(Change(kind, path, before, after))
    return out


def _in_transaction(entry: Entry) -> bool:
    """Whether an effect worked on a step's copy of the project; what was kept of it, the COMMIT says."""
    fields: Mapping[str, Any] = entry.fields
    return bool(fields.get("transaction")) and fields.get("op") != "COMMIT"


def as_text(content: bytes) -> str | None:
    """A content as text; None if it is none."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def difference(before: str, after: str) -> Difference:
    """How two texts differ, line by line."""
    old, new = before.splitlines(), after.splitlines()
    lines: list[tuple[str, int | None, int | None, str]] = []
    added = removed = 0
    matcher = SequenceMatcher(None, old, new, autojunk=len(old) + len(new) > 4000)
    for number, group in enumerate(matcher.get_grouped_opcodes(AROUND)):
        if number:
            lines.append(("~", None, None, ""))
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                pairs = zip(range(old_from, old_to), range(new_from, new_to), strict=True)
                lines += [(" ", one + 1, two + 1, old[one]) for one, two in pairs]
                continue
            lines += [("-", one + 1, None, old[one]) for one in range(old_from, old_to)]
            lines += [("+", None, two + 1, new[two]) for two in range(new_from, new_to)]
            removed += old_to - old_from
            added += new_to - new_from
    if not lines and before != after:
        lines.append(("~", None, None, "only the ends of lines differ"))
    return Difference(added, removed, tuple(lines))


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
