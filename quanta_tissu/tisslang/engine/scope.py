"""What a place of a running script knows: variables, the last command, directives, budgets, the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from quanta_tissu.tisslang.engine.budgets import Budget, Deadline
from quanta_tissu.tisslang.engine.effects import Site
from quanta_tissu.tisslang.engine.values import Value


@dataclass(frozen=True, slots=True)
class Binding:
    """A variable.

    Attributes:
        value: What it holds.
        site: Where it got it.
    """

    value: Value
    site: Site


@dataclass(frozen=True, slots=True)
class LastRun:
    """What came of the command that ran last.

    Attributes:
        parts: `STDOUT`, `STDERR`, `EXIT_CODE`, `EXECUTION_TIME`.
        site: The RUN.
        command: The text that the shell got.
    """

    parts: Mapping[str, Value]
    site: Site
    command: str


@dataclass(slots=True, kw_only=True)
class Scope:
    """What is known at a place.

    Attributes:
        variables: By name.
        last_run: What came of the last command; None: there was none.
        settings: What directives say, by name.
        budgets: Limits on calls, tokens and money that hold here.
        deadlines: Limits on time that hold here.
        clock: Seconds that effects took until here; waiting for people does not count, and of ways that are gone
            at the same time the longest.
        transaction: The key of the step whose copy of the project is worked on.
        at_most: How often this place is come to; None: nobody knows.
        calls: The titles of the tasks that are being done, from the outside in.
    """

    variables: dict[str, Binding] = field(default_factory=dict)
    last_run: LastRun | None = None
    settings: Mapping[str, Value] = field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    clock: float = 0.0
    transaction: str | None = None
    at_most: int | None = 1
    calls: tuple[str, ...] = ()

    def copy(self) -> Scope:
        """The same, to go on with separately; budgets stay shared."""
        return replace(self, variables=dict(self.variables))

    def often(self, times: int | None) -> Scope:
        """The same, come to so many times more often; it shares the variables."""
        both = None if self.at_most is None or times is None else self.at_most * times
        return replace(self, at_most=both)

    def become(self, other: Scope) -> None:
        """Take over what another knows; what holds for a block stays as it is."""
        self.variables, self.last_run, self.clock = other.variables, other.last_run, other.clock

    @property
    def seconds_left(self) -> float | None:
        """Until the first deadline; None: there is none."""
        return min((one.until - self.clock for one in self.deadlines), default=None)
