"""What happened in a run, put together from its records: steps, and in each what was done in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.blobs import BlobFolder, expanded
from quanta_tissu.tisslang.journal.record import Record
from quanta_tissu.tisslang.journal.runs import Summary, sound_records, summarise

UNKNOWN = "nobody knows what came of it"


@dataclass(slots=True)
class Approval:
    """A question to a person.

    Attributes:
        asked: When.
        request: Fields of the question.
        shown: What the person was shown.
        answered: When; None: not yet.
        answer: Fields of the answer.
        record: Number of the question's record.
        again: Whether the same was asked again, when the run was resumed.
    """

    asked: datetime
    request: Mapping[str, Any]
    shown: str
    record: int
    answered: datetime | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False

    @property
    def bound(self) -> bool:
        """Whether the answer is to what was shown."""
        return self.answered is None or self.answer.get("digest") == self.request.get("digest")


@dataclass(slots=True)
class Entry:
    """Something that happened.

    Attributes:
        kind: Of its record; `effect` for an intent with its result.
        record: Number of its (first) record.
        at: When.
        fields: What the record tells.
        result: What came of an effect; None: nobody knows.
        approvals: What people were asked about it.
        pending: Of an effect without a result: what is known of it.
        again: Whether it was begun again later, when the run was resumed.
    """

    kind: str
    record: int
    at: datetime
    fields: Mapping[str, Any]
    result: Mapping[str, Any] | None = None
    approvals: list[Approval] = field(default_factory=list)
    pending: str = UNKNOWN
    again: bool = False

    @property
    def key(self) -> str:
        """Its place in the script."""
        return str(self.fields.get("key", ""))

    @property
    def line(self) -> int | None:
        """The line of the script."""
        line = self.fields.get("line")
        return line if isinstance(line, int) else None

    @property
    def failed(self) -> bool:
        """Whether it is something that went wrong."""
        if self.kind == "effect":
            if self.result is None:
                return self.pending == UNKNOWN and not self.again
            return self.result.get("status") not in ("ok", "cancelled")
        return self.kind == "diagnostic" or (self.kind == "assert" and self.fields.get("holds") is False)


@dataclass(slots=True)
class Step:
    """A step, or what is outside of steps.

    Attributes:
        key: Its place in the script; empty outside of steps.
        title: What it is called.
        line: Where it begins.
        record: Number of its first record.
        began: When.
        ended: When; None: it did not.
        status: What became of it: `done`, `failed`, or `open`.
        entries: What was done in it.
        depth: In how many other steps it is.
    """

    key: str
    title: str
    line: int | None
    record: int
    began: datetime
    ended: datetime | None = None
    status: str = "open"
    entries: list[Entry] = field(default_factory=list)
    depth: int = 0

    def holds(self, key: str) -> bool:
        """Whether a place of the script is in this step."""
        return bool(self.key) and _inside(key, self.key)


@dataclass(slots=True)
class Budget:
    """A limit, and what was spent of it.

    Attributes:
        name: What is limited.
        limit: How much of it.
        spent: How much is gone.
    """

    name: str
    limit: float
    spent: float


@dataclass(slots=True)
class Story:
    """A run.

    Attributes:
        summary: In a line.
        start: Fields of its first record.
        records: How many there are.
        began: When.
        ended: Time of the last record.
        steps: In the order in which they began, with what was outside of them in between.
        sources: The scripts by name, as they were when it started or was last resumed.
        budgets: What was limited.
        ending: Fields of the last `run.end`.
        blobs: The run's contents.
    """

    summary: Summary
    start: Mapping[str, Any]
    records: int
    began: datetime
    ended: datetime
    steps: list[Step]
    sources: Mapping[str, str]
    budgets: list[Budget]
    ending: Mapping[str, Any]
    blobs: BlobFolder

    def entries(self, *kinds: str) -> list[Entry]:
        """Everything of some kinds, in order."""
        found = [entry for step in self.steps for entry in step.entries if entry.kind in kinds]
        return sorted(found, key=lambda entry: entry.record)

    def approvals(self) -> list[Approval]:
        """All questions to people, in order."""
        found = [one for step in self.steps for entry in step.entries for one in entry.approvals if not one.again]
        return sorted(found, key=lambda one: one.record)


def tell(folder: Path) -> Story:
    """The story of a run; what is damaged in its journal is left out.

    Raises:
        JournalError: There is nothing to tell.
    """
    records = sound_records(folder)
    if not records:
        raise JournalError(f"the journal of {folder.name} has no record", hint="`tissu audit` says more")
    blobs = BlobFolder(folder / "blobs")
    teller = _Teller(_lenient(blobs.get))
    for record in records:
        teller.take(record)
    summary = summarise(folder, records)
    steps = teller.finish(running=summary.status == "running")
    return Story(
        summary=summary,
        start=teller.start,
        records=len(records),
        began=records[0].time,
        ended=records[-1].time,
        steps=steps,
        sources=teller.sources,
        budgets=_budgets(steps, records),
        ending=teller.ending,
        blobs=blobs,
    )


def _lenient(get: Callable[[str], bytes]) -> Callable[[str], bytes]:
    def content(reference: str) -> bytes:
        try:
            return get(reference)
        except (JournalError, OSError) as error:
            return f"({error.message if isinstance(error, JournalError) else error})".encode()

    return content


class _Teller:
    """Takes records one by one.

    Args:
        get: Contents of references.
    """

    def __init__(self, get: Callable[[str], bytes]) -> None:
        self._get = get
        self._steps: list[Step] = []
        self._open: dict[str, Step] = {}
        self._effects: dict[int, Entry] = {}
        self._latest: dict[str, Entry] = {}  # the effect of a key that was begun last
        self._approvals: dict[str, list[Approval]] = {}  # those whose effect has not begun yet
        self._asked_of: dict[str, list[Approval]] = {}  # all of a key
        self.start: Mapping[str, Any] = {}
        self.sources: Mapping[str, str] = {}
        self.ending: Mapping[str, Any] = {}

    def take(self, record: Record) -> None:
        """Take a record."""
        fields = expanded(record.fields, self._get)
        match record.kind:
            case "run.start":
                self.start = fields
                self._sources(fields)
            case "run.end":
                self.ending = fields
            case "step.begin":
                step = Step(
                    key=str(fields.get("key", "")),
                    title=str(fields.get("title") or "Step"),
                    line=fields.get("line"),
                    record=record.seq,
                    began=record.time,
                )
                self._open[step.key] = step
                self._steps.append(step)
            case "step.end":
                ending = self._open.pop(str(fields.get("key", "")), None)
                if ending is not None:
                    ending.ended = record.time
                    ending.status = str(fields.get("status", "done"))
            case "effect.intent":
                entry = Entry("effect", record.seq, record.time, fields)
                entry.approvals = self._approvals.pop(entry.key, [])
                self._effects[record.seq] = self._latest[entry.key] = entry
                self._put(entry)
            case "effect.result":
                of = fields.get("of")
                known = self._effects.get(of) if isinstance(of, int) else None
                known = known or self._latest.get(str(fields.get("key", "")))
                if known is not None:
                    known.result = fields
                else:
                    self._put(Entry("effect.result", record.seq, record.time, fields))
            case "approval.request":
                self._asked(record, fields)
            case "approval.answer":
                self._answered(record, fields)
            case kind:
                if kind == "run.resume":
                    self._sources(fields)
                self._put(Entry(kind, record.seq, record.time, fields))

    def finish(self, *, running: bool) -> list[Step]:
        """All steps; what people were asked about something that was never begun stands by itself.

        Args:
            running: Whether the run goes on.
        """
        for approvals in self._asked_of.values():
            for approval in approvals[:-1]:
                approval.again = approval.answered is None
        for entry in self._effects.values():
            entry.again = entry.result is None and entry is not self._latest[entry.key]
            if any(one.answered is None and not one.again for one in entry.approvals):
                entry.pending = "waits for an answer"
            elif running:
                entry.pending = "is under way"
        for approvals in self._approvals.values():
            for approval in approvals:
                entry = Entry("approval", approval.record, approval.asked, approval.request, approvals=[approval])
                self._put(entry)
        for step in self._steps:
            step.entries.sort(key=lambda entry: entry.record)
            step.depth = len({one.key for one in self._steps if one.key != step.key and one.holds(step.key)})
        return [step for step in self._steps if step.entries or step.key]

    def _sources(self, fields: Mapping[str, Any]) -> None:
        sources = fields.get("sources")
        if isinstance(sources, dict) and sources:
            self.sources = {
                str(name): self._get(text).decode("utf-8", "replace") if text.startswith("sha256:") else text
                for name, text in sources.items()
                if isinstance(text, str)
            }

    def _put(self, entry: Entry) -> None:
        """Where something belongs: in the innermost step that its place is in, otherwise outside of steps."""
        if entry.kind in ("run.resume", "divergence") and self._open:
            list(self._open.values())[-1].entries.append(entry)
            return
        inside = [step for step in self._steps if step.holds(entry.key)]
        if inside:
            longest = max(len(step.key) for step in inside)
            [step for step in inside if len(step.key) == longest][-1].entries.append(entry)
            return
        if not self._steps or self._steps[-1].key:
            line = entry.line
            self._steps.append(Step("", "", line, entry.record, entry.at))
        self._steps[-1].entries.append(entry)
        self._steps[-1].ended = entry.at

    def _asked(self, record: Record, fields: Mapping[str, Any]) -> None:
        shown = fields.get("shown", "")
        if isinstance(shown, str) and shown.startswith("sha256:"):
            shown = self._get(shown).decode("utf-8", "replace")
        approval = Approval(record.time, fields, str(shown), record.seq)
        key = str(fields.get("key", ""))
        self._asked_of.setdefault(key, []).append(approval)
        effect = self._latest.get(key)
        if effect is not None and effect.result is None and fields.get("what") not in ("permit", "doubt"):
            effect.approvals.append(approval)
        else:
            self._approvals.setdefault(key, []).append(approval)

    def _answered(self, record: Record, fields: Mapping[str, Any]) -> None:
        key = str(fields.get("key", ""))
        effect = self._latest.get(key)
        asked = [*(effect.approvals if effect is not None else []), *self._approvals.get(key, [])]
        for approval in reversed(asked):
            if approval.answered is None:
                approval.answered, approval.answer = record.time, fields
                return
        self._put(Entry("approval.answer", record.seq, record.time, fields))


def _inside(key: str, block: str) -> bool:
    """Whether a place is in a block: its key begins with the block's, and not in the middle of a number."""
    return key.startswith(block) and not (block and key[len(block) :][:1].isalnum())


_OF_USAGE = {"API_CALLS": "calls", "TOKEN_COUNT": "tokens", "COST": "cost"}


def _budgets(steps: Sequence[Step], records: Sequence[Record]) -> list[Budget]:
    """Limits and what was spent of each, by all that is in the block in which it was set, from then on."""
    effects = [entry for step in steps for entry in step.entries if entry.kind == "effect"]
    found: dict[tuple[str, str], Budget] = {}
    for record in records:
        fields = record.fields
        if record.kind != "budget" or not isinstance(fields.get("limit"), int | float):
            continue
        name, key = str(fields.get("name", "")), str(fields.get("key", ""))
        spent = fields.get("spent")
        if not isinstance(spent, int | float):
            block = key.rpartition("/")[0]
            inside = [one for one in effects if one.record > record.seq and _inside(one.key, block)]
            spent = sum(_spent(one, name) for one in inside)
        found[name, key] = Budget(name, float(fields["limit"]), float(spent))
    return list(found.values())


def _spent(effect: Entry, name: str) -> float:
    result = effect.result or {}
    value = result.get("seconds") if name == "EXECUTION_TIME" else None
    usage = result.get("usage")
    if isinstance(usage, dict) and name in _OF_USAGE:
        value = usage.get(_OF_USAGE[name])
    return float(value) if isinstance(value, int | float) else 0.0
