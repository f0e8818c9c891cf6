"""Drives an interpreter: each effect is taken from the journal if it is there, and done otherwise.

The journal gets the intent of an effect before it is done and its result after, so that a run that died goes on
without doing anything twice. What is done about an effect whose result is missing depends on its class:

| class | what is done |
|---|---|
| reads, writes of files | they are done again: the outcome is the same |
| documents | they are done again, with the key under which the database knows that it did them |
| models, people | they are asked again; both answers of a model are paid for |
| commands | in a transaction again; otherwise as `@on_resume` says: `ask` (a person), `retry` or `skip` |
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.engine.budgets import Usage, reserve, settle
from quanta_tissu.tisslang.engine.effects import (
    AskPerson,
    Begin,
    Commit,
    Discard,
    Doing,
    Effect,
    Fork,
    Notice,
    Outcome,
    RunCommand,
)
from quanta_tissu.tisslang.engine.shell import as_shown
from quanta_tissu.tisslang.engine.values import Value, as_text
from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.running.approvals import Approvals, Paused, described, digest_of, plain, why
from quanta_tissu.tisslang.running.people import Person
from quanta_tissu.tisslang.running.recorded import Earlier, Recorded, within
from quanta_tissu.tisslang.running.rules import Rule, decide
from quanta_tissu.tisslang.running.ways import Cancelled, LinkedEvent, Way
from quanta_tissu.tisslang.syntax.shapes import EffectClass


class Performer(Protocol):
    """Does effects."""

    def facts(self, effect: Effect) -> Mapping[str, Any]:
        """What rules are matched against."""

    def estimate(self, effect: Effect) -> Usage:
        """What an effect costs at most."""

    def prepare(self, effect: Effect) -> dict[str, Any]:
        """What must be known before an effect is begun, to go on with it if nobody knows whether it was done."""

    def perform(self, effect: Effect, prepared: Mapping[str, Any], cancelled: threading.Event) -> Outcome:
        """Do an effect.

        Args:
            effect: It.
            prepared: What `prepare` gave; with `again`, if it was begun before and may have been done.
            cancelled: Ends it when it is set.

        Raises:
            SandboxError: It could not even be begun.
        """

    def abandoned(self, transaction: str) -> Outcome | None:
        """What came of a commit whose end nobody has recorded; None: the project has nothing of it."""

    def recorded(self, effect: Effect) -> None:
        """The outcome of an effect is in the journal."""


class Watcher(Protocol):
    """Whoever watches a run."""

    def notice(self, notice: Notice) -> None:
        """Something happened in the script."""

    def begin(self, effect: Effect) -> None:
        """An effect is begun."""

    def end(self, effect: Effect, outcome: Outcome, replayed: bool) -> None:
        """It is over, or was found in the journal."""


class Diverged(Exception):  # noqa: N818 - whoever replays says what it means
    """The script wants something else than what is recorded.

    Args:
        effect: What it wants.
        earlier: What is recorded in its place; None: nothing.
    """

    def __init__(self, effect: Effect, earlier: Earlier | None) -> None:
        super().__init__(effect.key)
        self.effect = effect
        self.earlier = earlier


class Conductor:
    """Drives interpreters.

    Args:
        journal: Where everything is recorded.
        performer: Does effects; None: nothing is done, only what is recorded is told again.
        person: Answers questions.
        watcher: Is told what happens.
        rules: What may be done without asking.
        again: The paths of statements whose effects are done again, and all that come after them.

    Attributes:
        divergences: Where an edited script left what was recorded.
        last: The path at which the latest effect can be done again: its own, or of the step with whose copy of the
            project it worked; empty: there was none.
    """

    def __init__(
        self,
        journal: Journal,
        performer: Performer | None,
        person: Person,
        watcher: Watcher,
        rules: Sequence[Rule] = (),
        again: Sequence[str] = (),
    ) -> None:
        self._journal = journal
        self._performer = performer
        self._watcher = watcher
        self._rules = rules
        self._again: dict[str, int | None] = dict.fromkeys(again)  # since which record they are done again
        self._redoing = threading.Lock()
        self._recorded = Recorded(journal)
        self._approvals = Approvals(journal, self._recorded, person)
        self._cancelled: set[str] = set()  # PARALLELs of which a way failed
        self.divergences: list[Diverged] = []
        self.last = ""

    def conduct(self, doing: Doing[Any], way: Way) -> Any:
        """Drive an interpreter to its end; what it gives.

        Raises:
            Failure: The script failed.
            Paused: A person is needed.
            Cancelled: The way was ended from outside.
            SandboxError: What keeps commands in failed; the run cannot go on.
        """
        answer: Any = None
        try:
            while True:
                try:
                    request = doing.send(answer)
                except StopIteration as stop:
                    return stop.value
                match request:
                    case Effect():
                        answer = self._effect(request, way)
                    case Notice():
                        self._notice(request, way)
                        answer = None
                    case Fork():
                        answer = self._fork(request, way)
        finally:
            doing.close()

    # --- notices and ways ----------------------------------------------------------------------------------------

    def _notice(self, notice: Notice, way: Way) -> None:
        told = self._recorded.noticed(notice.kind, notice.key, way.epoch)
        if not told and self._performer is not None:
            fields = {"key": notice.key, "line": notice.site.line, **notice.data}
            if way.epoch:
                fields["epoch"] = way.epoch
            self._journal.append(notice.kind, **fields)
        if not told or self._performer is None:
            self._watcher.notice(notice)

    def _fork(self, fork: Fork, way: Way) -> list[Any]:
        cancelled = LinkedEvent(way.cancelled)
        ways = [Way(way.epoch, cancelled, (*way.forks, fork.key)) for _ in fork.branches]
        given: list[Any] = [None] * len(ways)
        raised: list[BaseException | None] = [None] * len(ways)

        def go(number: int) -> None:
            try:
                given[number] = self.conduct(fork.branches[number], ways[number])
                if given[number] is not None and fork.cancel and not cancelled.is_set():
                    self._cancel(fork, ways[number])
                    cancelled.set()
            except BaseException as error:
                raised[number] = error
                if not isinstance(error, Cancelled | Paused):
                    cancelled.set()

        threads = [threading.Thread(target=go, args=(n,), name=f"{fork.key}.{n}") for n in range(len(ways))]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:  # an interrupt: nothing may go on behind the back of whoever ends the run
            cancelled.set()
            for thread in threads:
                thread.join()
            raise
        way.epoch = max((one.epoch for one in ways), default=way.epoch)
        failed = any(one is not None for one in given)
        for error in raised:
            if error is not None and not (failed and fork.cancel and isinstance(error, Cancelled | Paused)):
                raise error
        return given

    def _cancel(self, fork: Fork, way: Way) -> None:
        """Record that the other ways were ended, so that a replay ends them where they were."""
        self._cancelled.add(fork.key)
        if self._performer is None or self._recorded.noticed("decision", f"{fork.key}.cancel", way.epoch):
            return
        self._journal.append("decision", key=f"{fork.key}.cancel", what="CANCEL", epoch=way.epoch)

    # --- effects -------------------------------------------------------------------------------------------------

    def _effect(self, effect: Effect, way: Way) -> Outcome:
        args = self._journal.redactor.value(plain(effect.action.args()))
        digest = digest_of({"op": effect.action.op, "args": args})
        self._redo(effect, way)
        self.last = effect.transaction or effect.key.removesuffix(".begin").removesuffix(".commit")
        earlier = self._recorded.effect(effect.key, digest, way.epoch)
        if earlier is not None and earlier.intent["digest"] != digest:
            self._diverge(Diverged(effect, earlier), way)
            earlier = None
        if earlier is not None:
            way.epoch = max(way.epoch, earlier.epoch if earlier.intent["cls"] not in ("MODEL", "HUMAN") else 0)
            if isinstance(effect.action, Begin) and self._lost(effect, way):
                earlier = None
        if effect.action.cls is EffectClass.MODEL:
            for reserved in self._recorded.lost(effect.key):  # each may have been asked, and is paid for
                settle(effect.budgets, Usage(), reserved)
        if earlier is not None and earlier.result is not None:
            if earlier.result["status"] == "cancelled":
                raise Cancelled
            outcome = earlier.outcome
            settle(effect.budgets, Usage(), outcome.usage)
            if self._performer is None or not isinstance(effect.action, Begin | Commit | Discard):
                self._watcher.end(effect, outcome, True)
            return outcome
        if way.cancelled.is_set() or any(
            self._recorded.noticed("decision", f"{fork}.cancel", way.epoch) for fork in way.forks
        ):
            raise Cancelled
        if self._performer is None:
            raise Diverged(effect, None)
        if earlier is not None:
            decided = self._in_doubt(effect, earlier)
            if decided is not None:
                return self._finish(effect, decided, self._begin(effect, args, digest, way, {}))
        return self._do(effect, args, digest, way, earlier)

    def _redo(self, effect: Effect, way: Way) -> None:
        """Leave what is recorded behind, if an effect is one of those that are done again."""
        for path in self._again:
            if not within(effect.key, path):
                continue
            with self._redoing:  # branches inside of it may come here at the same time
                since = self._again[path]
                if since is None:
                    since = self._journal.append(
                        "divergence", at=effect.key, line=effect.site.line, again=path
                    ).seq
                    self._recorded.redo(path, since)
                    self._again[path] = since
            way.epoch = max(way.epoch, since)

    def _diverge(self, diverged: Diverged, way: Way) -> None:
        """The script is another one from here on."""
        if self._performer is None:
            raise diverged
        assert diverged.earlier is not None
        self.divergences.append(diverged)
        record = self._journal.append(
            "divergence", at=diverged.effect.key, line=diverged.effect.site.line, was=dict(diverged.earlier.intent)
        )
        way.epoch = record.seq

    def _lost(self, begin: Effect, way: Way) -> bool:
        """Whether the copy of a step that died is gone, so that all of the step is done again."""
        path = begin.key.removesuffix(".begin")
        for ending in (f"{path}.commit", f"{path}.discard"):
            earlier = self._recorded.effect(ending, "", way.epoch)
            if earlier is not None and earlier.result is not None:
                return False
        if self._performer is None:
            return False
        outcome = self._performer.abandoned(path)
        commit = self._recorded.effect(f"{path}.commit", "", way.epoch)
        if outcome is not None and commit is not None:  # it died before it could say that it was done
            commit.result = self._result(f"{path}.commit", outcome, commit.seq)
            return False
        record = self._journal.append("divergence", at=begin.key, line=begin.site.line, transaction=path)
        way.epoch = record.seq
        return True

    def _in_doubt(self, effect: Effect, earlier: Earlier) -> Outcome | None:
        """What is to be taken for the outcome of an effect that nobody knows of; None: it is done again."""
        if not isinstance(effect.action, RunCommand) or effect.transaction is not None:
            return None
        choice = effect.action.on_resume
        if choice == "ask":
            command = as_text(effect.action.command)
            answer = self._approvals.ask(
                effect,
                "doubt",
                "the run died while this command ran: was it done?",
                as_shown(command, [(name, as_text(value)) for name, value in effect.action.variables.items()]),
                ("retry", "skip"),
                times=self._recorded.times(effect.key),
            )
            choice = answer.choice
        if choice == "retry":
            return None
        parts: dict[str, Value] = {"STDOUT": "", "STDERR": "the run died while this command ran", "EXIT_CODE": -1}
        return Outcome(value={**parts, "EXECUTION_TIME": 0.0})

    def _do(self, effect: Effect, args: Any, digest: str, way: Way, earlier: Earlier | None) -> Outcome:
        assert self._performer is not None
        action = effect.action
        facts = self._performer.facts(effect)
        rule = decide(self._rules, facts)
        if rule.decision == "deny":
            return self._refused(effect, args, digest, way, f"a rule forbids it{why(rule)}")
        if rule.decision == "ask":
            answer = self._approvals.ask(
                effect, "permit", f"may this be done?{why(rule)}", described(effect, facts), ("allow", "deny")
            )
            if answer.choice != "allow":
                said = f": {answer.comment}" if answer.comment else ""
                return self._refused(effect, args, digest, way, f"{answer.by} did not allow it{why(rule)}{said}")
        estimate = self._performer.estimate(effect)
        short = reserve(effect.budgets, estimate)
        if short is not None:
            said = (
                f"{short.name} is {short.limit:g}; {short.spent:g} are spent, and this may take "
                f"{estimate.of(short.name):g}"
            )
            outcome = Outcome(problem=("R205", said), help="give it more, or limit answers with @max_tokens")
            return self._finish(effect, outcome, self._begin(effect, args, digest, way, {}))
        prepared = self._performer.prepare(effect) if earlier is None else earlier.intent.get("prepared") or {}
        begun = self._begin(effect, args, digest, way, {"prepared": prepared, "reserved": _usage(estimate)})
        if earlier is not None:
            prepared = {**prepared, "again": True}
        self._watcher.begin(effect)
        try:
            if isinstance(action, AskPerson):
                outcome = self._approvals.answered(effect, action)
            else:
                outcome = self._performer.perform(effect, prepared, way.cancelled)
        except Paused:
            raise
        except SandboxError as error:
            self._journal.append("effect.result", of=begun, key=effect.key, status="void", reason=error.message)
            raise
        except BaseException:
            settle(effect.budgets, estimate, Usage())
            raise
        settle(effect.budgets, estimate, outcome.usage)
        if outcome.problem is not None and outcome.problem[0] == "R211":
            if any(
                fork in self._cancelled for fork in way.forks
            ):  # otherwise it is in doubt: a run was interrupted
                self._journal.append("effect.result", durable=True, of=begun, key=effect.key, status="cancelled")
            raise Cancelled
        return self._finish(effect, outcome, begun)

    def _begin(self, effect: Effect, args: Any, digest: str, way: Way, more: Mapping[str, Any]) -> int:
        """Record that an effect is begun; the record's number."""
        action = effect.action
        fields: dict[str, Any] = {
            "key": effect.key,
            "op": action.op,
            "cls": action.cls.name,
            "args": args,
            "digest": digest,
            "node": hashlib.sha256(effect.site.text.encode()).hexdigest(),
            "source": effect.site.source.name,
            "line": effect.site.line,
            **{name: value for name, value in more.items() if value},
        }
        if way.epoch:
            fields["epoch"] = way.epoch
        if effect.transaction is not None:
            fields["transaction"] = effect.transaction
        return self._journal.append("effect.intent", durable=_matters(effect), **fields).seq

    def _finish(self, effect: Effect, outcome: Outcome, begun: int) -> Outcome:
        """Record what came of an effect; as it was recorded, it is what the script sees."""
        assert self._performer is not None
        value = self._journal.redactor.value(plain(outcome.value))
        seen = replace(outcome, value=value, seconds=round(outcome.seconds, 6))
        self._result(effect.key, seen, begun, durable=_matters(effect))
        self._performer.recorded(effect)
        self._watcher.end(effect, seen, False)
        return seen

    def _result(self, key: str, outcome: Outcome, begun: int, *, durable: bool = True) -> Mapping[str, Any]:
        fields: dict[str, Any] = {
            "of": begun,
            "key": key,
            "status": "ok" if outcome.problem is None else "failed",
            "value": outcome.value,
            "seconds": outcome.seconds,
        }
        if outcome.problem is not None:
            code, message = outcome.problem
            fields["problem"] = {"code": code, "message": message, "help": outcome.help}
        if outcome.usage != Usage():
            fields["usage"] = _usage(outcome.usage)
        if outcome.files:
            fields["files"] = [list(one) for one in outcome.files]
        self._journal.append("effect.result", durable=durable, **fields)
        return fields

    def _refused(self, effect: Effect, args: Any, digest: str, way: Way, why: str) -> Outcome:
        outcome = Outcome(problem=("R204", f"{effect.action.op} was refused: {why}"))
        return self._finish(effect, outcome, self._begin(effect, args, digest, way, {}))


def _matters(effect: Effect) -> bool:
    """Whether the world is another one after an effect, so that its record must survive the end of the machine."""
    return effect.action.cls not in (EffectClass.READ, EffectClass.PURE)


def _usage(usage: Usage) -> dict[str, Any]:
    return {} if usage == Usage() else {"calls": usage.calls, "tokens": usage.tokens, "cost": usage.cost}
