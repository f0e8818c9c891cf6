"""Effects of a script without doing any: the explorer is told that nothing is known, and goes all ways."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from quanta_tissu.tisslang.engine.effects import (
    AskModel,
    Begin,
    Commit,
    Discard,
    Doing,
    Effect,
    EstimateBlock,
    Fork,
    Notice,
    Outcome,
    ReadFile,
    RunCommand,
    Site,
)
from quanta_tissu.tisslang.engine.failure import Failure
from quanta_tissu.tisslang.engine.values import Unknown, as_text, hole


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of a plan.

    Attributes:
        key: Of the step.
        title: What it is called.
        site: Where it begins.
    """

    key: str
    title: str
    site: Site


@dataclass(frozen=True, slots=True)
class Planned:
    """An effect of a plan.

    Attributes:
        effect: It; what is not known in it is `Unknown`.
        step: The step that it belongs to.
        when: On what it depends whether it is done, from the outside in.
    """

    effect: Effect
    step: PlannedStep | None
    when: tuple[str, ...]


@dataclass(slots=True)
class Plan:
    """What a script would do.

    Attributes:
        effects: Everything that a run could do, in the order in which it is written.
        steps: Its steps, in order, also those that do nothing.
        transactions: The keys of steps that work on a copy of the project.
        failure: Why no run comes to its end, if that is known before.
    """

    effects: list[Planned] = field(default_factory=list)
    steps: list[PlannedStep] = field(default_factory=list)
    transactions: set[str] = field(default_factory=set)
    failure: Failure | None = None


def plan_of(doing: Doing[Any]) -> Plan:
    """What an explorer asks for, when nothing is known."""
    planner = _Planner()
    try:
        planner.follow(doing)
    except Failure as failure:
        planner.plan.failure = failure
    return planner.plan


def estimate_of(doing: Doing[Any]) -> EstimateBlock:
    """What is to be estimated of a block."""
    found = [one.effect for one in plan_of(doing).effects]
    commands = at_most(one.at_most for one in found if isinstance(one.action, RunCommand))
    prompts = tuple((one.action, one.at_most) for one in found if isinstance(one.action, AskModel))
    return EstimateBlock(commands=commands, prompts=prompts)


def at_most(times: Iterable[int | None]) -> int | None:
    """How often in all; None if nobody knows of one of them."""
    total = 0
    for one in times:
        if one is None:
            return None
        total += one
    return total


class _Planner:
    """Follows an explorer and writes down what it asks for."""

    def __init__(self) -> None:
        self.plan = Plan()
        self._when: dict[str, str] = {}

    def follow(self, doing: Doing[Any]) -> Any:
        """Follow it to its end; what it gives."""
        answer: Any = None
        while True:
            try:
                request = doing.send(answer)
            except StopIteration as stop:
                return stop.value
            answer = None
            match request:
                case Effect(action=Begin()):
                    self.plan.transactions.add(request.key.removesuffix(".begin"))
                    answer = Outcome()
                case Effect(action=Commit() | Discard()):
                    answer = Outcome()
                case Effect():
                    self.plan.effects.append(
                        Planned(request, self._step(request.key), self._conditions(request.key))
                    )
                    answer = Outcome(value=_unknown(request))
                case Fork():
                    answer = [self.follow(branch) for branch in request.branches]
                case Notice(kind="step.begin"):
                    self.plan.steps.append(PlannedStep(request.key, request.data["title"], request.site))
                case Notice(kind="way"):
                    self._when[request.key] = request.data["when"]

    def _step(self, key: str) -> PlannedStep | None:
        return next((one for one in reversed(self.plan.steps) if _inside(key, one.key)), None)

    def _conditions(self, key: str) -> tuple[str, ...]:
        found = sorted((one for one in self._when if _inside(key, one)), key=len)
        return tuple(self._when[one] for one in found)


def _inside(key: str, path: str) -> bool:
    """Whether an effect belongs to a statement, or to a block of it."""
    return key == path or key.startswith((f"{path}/", f"{path}."))


def _unknown(effect: Effect) -> Unknown:
    match effect.action:
        case ReadFile(path=path):
            return hole(f"text of {as_text(path)}")
        case RunCommand():
            return hole("LAST_RUN")
        case action:
            return hole(action.op)
