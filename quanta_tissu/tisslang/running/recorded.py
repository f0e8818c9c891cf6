"""What the journal of a run says about its effects, for whoever goes on with it.

A run that goes on with an edited script leaves what it had recorded at the first effect that is another one: from
there on, nothing recorded before counts. The record of that moment is a `divergence`; its number is the *epoch* of
all effects that are recorded after it on the same way. A way that has come to an epoch uses nothing older; only
answers of models and people to the very same question stay good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quanta_tissu.tisslang.engine.budgets import Usage
from quanta_tissu.tisslang.engine.effects import Outcome
from quanta_tissu.tisslang.journal.journal import Journal

_LASTING = ("MODEL", "HUMAN")


@dataclass(slots=True)
class Earlier:
    """An effect that was begun.

    Attributes:
        intent: What was to be done.
        result: What came of it; None: nobody knows.
        epoch: Since when it counts.
        seq: The number of its record.
    """

    intent: Mapping[str, Any]
    result: Mapping[str, Any] | None
    epoch: int
    seq: int

    @property
    def outcome(self) -> Outcome:
        """What came of it."""
        assert self.result is not None
        problem = self.result.get("problem")
        usage = self.result.get("usage") or {}
        return Outcome(
            value=self.result.get("value"),
            problem=None if problem is None else (problem["code"], problem["message"]),
            help=None if problem is None else problem.get("help"),
            seconds=self.result.get("seconds", 0.0),
            usage=Usage(usage.get("calls", 0), usage.get("tokens", 0), usage.get("cost", 0.0)),
        )


class Recorded:
    """The effects of a journal.

    Args:
        journal: It; only what is in it now counts.

    Attributes:
        waiting: The digests of the questions for whose answers the run waited before it went on.
    """

    waiting: frozenset[str] = frozenset()

    def __init__(self, journal: Journal) -> None:
        self._effects: dict[str, list[Earlier]] = {}
        self._noticed: dict[tuple[str, str], int] = {}
        self._answers: dict[tuple[str, str], tuple[int, Mapping[str, Any]]] = {}
        self._redone: list[tuple[str, int]] = []
        by_seq: dict[int, Earlier] = {}
        asked: set[str] = set()
        for record in journal.records:
            match record.kind:
                case "run.start":
                    self.waiting, asked = frozenset(), set()
                case "run.resume":
                    self.waiting, asked = frozenset(asked), set()
                    fields = journal.expanded(record)
                    self._go_on(fields.get("again", ()), edited="sources" in fields)
                case "approval.request":
                    asked.add(journal.expanded(record)["digest"])
                case "effect.intent":
                    fields = journal.expanded(record)
                    earlier = Earlier(fields, None, fields.get("epoch", 0), record.seq)
                    by_seq[record.seq] = earlier
                    self._effects.setdefault(fields["key"], []).append(earlier)
                case "effect.result":
                    fields = journal.expanded(record)
                    begun = by_seq[fields["of"]]
                    if fields["status"] == "void":  # it was never begun
                        self._effects[begun.intent["key"]].remove(begun)
                    else:
                        begun.result = fields
                case "approval.answer":
                    fields = journal.expanded(record)
                    asked.discard(fields["digest"])
                    self._answers[fields["key"], fields["digest"]] = record.seq, fields
                case "divergence" if "again" in record.fields or "again_blob" in record.fields:
                    self.redo(journal.expanded(record)["again"], record.seq)
                case _ if not record.fields.keys().isdisjoint(("key", "key_blob")):
                    self._noticed[record.kind, journal.expanded(record)["key"]] = record.fields.get("epoch", 0)

    def effect(self, key: str, digest: str, epoch: int) -> Earlier | None:
        """What is recorded of an effect, as far as it counts on a way that has come to an epoch."""
        found = self._effects.get(key)
        if not found:
            return None
        last = found[-1]
        if last.epoch >= epoch:
            return last
        since = self._since(key)
        return next(
            (
                one
                for one in reversed(found)
                if one.intent["cls"] in _LASTING
                and one.intent["digest"] == digest
                and one.result is not None
                and one.result["status"] == "ok"
                and one.seq > since
            ),
            None,
        )

    def lost(self, key: str) -> list[Usage]:
        """What was set aside for each time that an effect was begun, and nobody knows what came of it."""
        found = self._effects.get(key, ())
        return [
            Usage(**one.intent["reserved"]) for one in found if one.result is None and "reserved" in one.intent
        ]

    def _go_on(self, again: Sequence[str], *, edited: bool) -> None:
        """Branches that were ended because another failed go on, if that is another one now, or done again."""
        ended = [key.removesuffix(".cancel") for kind, key in self._noticed if kind == "decision"]
        for fork in ended:
            if ("decision", f"{fork}.cancel") not in self._noticed:
                continue
            if edited or any(within(path, fork) for path in again):
                del self._noticed["decision", f"{fork}.cancel"]
                for key, found in self._effects.items():
                    if within(key, fork):
                        found[:] = [one for one in found if (one.result or {}).get("status") != "cancelled"]

    def redo(self, path: str, seq: int) -> None:
        """Statements are done again: inside of them nothing that was recorded before counts, answers neither."""
        self._redone.append((path, seq))

    def _since(self, key: str) -> int:
        return max((seq for path, seq in self._redone if within(key, path)), default=-1)

    def noticed(self, kind: str, key: str, epoch: int) -> bool:
        """Whether a notice is there already."""
        return self._noticed.get((kind, key), -1) >= epoch

    def answer(self, key: str, digest: str) -> Mapping[str, Any] | None:
        """What a person has said about the very same thing."""
        seq, answer = self._answers.get((key, digest), (-1, None))
        return answer if seq > self._since(key) else None

    def another(self, digest: str) -> bool:
        """Whether a question is none of those for whose answers the run waited; once it has one, any is new."""
        waiting, self.waiting = self.waiting, frozenset()
        return bool(waiting) and digest not in waiting

    def times(self, key: str) -> int:
        """How often an effect was begun."""
        return len(self._effects.get(key, ()))


def within(key: str, path: str) -> bool:
    """Whether something belongs to a statement, or to a block of it."""
    return key == path or key.startswith((f"{path}/", f"{path}."))
