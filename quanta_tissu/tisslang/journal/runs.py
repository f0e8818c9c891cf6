"""The runs of a project: where they are, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.lock import is_held
from quanta_tissu.tisslang.journal.reading import JOURNAL, split_lines
from quanta_tissu.tisslang.journal.record import Record, parse_line

FOLDER = ".tissu"
"""What a project's runs and their anchors are kept in."""

LATEST = "last"
"""Instead of a run's name: the one that was started last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A run in a line.

    Attributes:
        id: Its name.
        script: What was run.
        status: `running`, `interrupted` (its process ended without a word), or what its last record says: `done`,
            `failed`, `paused`, `broken`. `damaged` if its journal cannot be read.
        reason: Why it ended so, if its last record says.
        started: When; None if the journal cannot be read.
        ended: Time of the last record.
        seconds: How long processes worked on it, without the time between an interruption and a resume.
        effects: How many were done.
        calls: How often models were asked.
        tokens: Of prompts and answers together.
        cost: Of models, in the currency of the prices.
    """

    id: str
    script: str = ""
    status: str
    reason: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    seconds: float = 0.0
    effects: int = 0
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0


def find_project(start: Path) -> Path:
    """The project that a folder belongs to: the nearest one above it that has runs, or itself."""
    start = start.resolve()
    return next((one for one in (start, *start.parents) if (one / FOLDER / "runs").is_dir()), start)


def runs_folder(project: Path) -> Path:
    """Where the runs of a project are."""
    return project / FOLDER / "runs"


def list_runs(project: Path) -> list[Path]:
    """The folders of a project's runs, in the order of their names."""
    folder = runs_folder(project)
    return sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []


def removed_runs(project: Path) -> list[str]:
    """The names of runs that have an anchor and no folder."""
    anchors = project / FOLDER / "anchors"
    there = {one.name for one in list_runs(project)}
    return sorted({one.stem for one in anchors.glob("*.json")} - there) if anchors.is_dir() else []


def find_run(name: str, project: Path) -> Path:
    """The folder of a run.

    Args:
        name: Its name, the beginning of it, `last`, or a path to the folder.
        project: Where it was run.

    Raises:
        JournalError: There is none, or several names begin so.
    """
    runs = list_runs(project)
    if name == LATEST:
        started = [(summary.started, one) for one in runs if (summary := summarise(one)).started is not None]
        if started:
            return max(started)[1]
        if runs:
            raise JournalError(
                f"of the {len(runs)} runs in {project} none can be read", hint="`tissu audit RUN` says why"
            )
        raise JournalError(f"there are no runs in {project}", hint="`tissu run SCRIPT` makes one")
    exact = [one for one in runs if one.name == name]
    if exact:
        return exact[0]
    if "/" in name or (Path(name) / JOURNAL).is_file():
        path = Path(name)
        if path.is_dir():
            return Path(path.resolve())
        raise JournalError(f"there is no run at {name}", hint="`tissu runs` lists the runs of a project")
    close = [one for one in runs if name and one.name.startswith(name)]
    if len(close) == 1:
        return close[0]
    if close:
        raise JournalError(
            f"{len(close)} runs begin with {name!r}: {', '.join(one.name for one in close[:5])}",
            hint="write more of the name",
        )
    if name in removed_runs(project):
        raise JournalError(f"the run {name} was removed: its anchor is there, and its folder is not")
    raise JournalError(f"there is no run {name!r} in {project}", hint="`tissu runs` lists the runs of a project")


def sound_records(folder: Path) -> list[Record]:
    """The records of a run that are whole by themselves, whether or not the chain holds; for looking at it.

    Raises:
        JournalError: There is no journal.
    """
    try:
        lines, _ = split_lines((folder / JOURNAL).read_bytes())
    except OSError as error:
        raise JournalError(
            f"the journal of {folder.name} cannot be read: {error.strerror}", hint="`tissu runs` lists all runs"
        ) from error
    records = []
    for line in lines:
        with suppress(ValueError):
            records.append(parse_line(line))
    return records


def summarise(folder: Path, records: Sequence[Record] | None = None) -> Summary:
    """What became of a run.

    Args:
        folder: The run's.
        records: Its records, if they have been read already.
    """
    if records is None:
        try:
            records = sound_records(folder)
        except JournalError:
            records = []
    running = is_held(folder / "lock")
    if not records:
        return Summary(id=folder.name, status="running" if running else "damaged")
    first, last = records[0], records[-1]
    end = next((one for one in reversed(records) if one.kind in ("run.end", "run.resume")), None)
    ended = end if end is not None and end.kind == "run.end" else None
    results = [one.fields for one in records if one.kind == "effect.result"]
    usage = [fields["usage"] for fields in results if isinstance(fields.get("usage"), dict)]
    return Summary(
        id=folder.name,
        script=str(first.fields.get("script", "")),
        status="running" if running else str(ended.fields.get("status", "done")) if ended else "interrupted",
        reason=str(ended.fields.get("reason") or "") if ended else "",
        started=first.time,
        ended=last.time,
        seconds=worked(records),
        effects=len(results),
        calls=int(sum(_number(one.get("calls")) for one in usage)),
        tokens=int(sum(_number(one.get("tokens")) for one in usage)),
        cost=sum(_number(one.get("cost")) for one in usage),
    )


def worked(records: Sequence[Record]) -> float:
    """Seconds in which processes worked on a run: without the time before each resume."""
    waited = sum(
        (after.time - before.time).total_seconds()
        for before, after in pairwise(records)
        if after.kind == "run.resume" or _recovered(after)
    )
    return max((records[-1].time - records[0].time).total_seconds() - waited, 0.0) if records else 0.0


def _recovered(record: Record) -> bool:
    """Whether a record is the note that opening a journal again may write."""
    return record.kind == "note" and record.fields.get("recovered") is True


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
