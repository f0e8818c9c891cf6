"""What is known at a point of a script: which variables have values, whether a command has run, whom to trust."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum

from quanta_tissu.tisslang.source import Span


class Known(IntEnum):
    """On how many of the ways to a point something has happened."""

    NEVER = 0
    SOMETIMES = 1
    ALWAYS = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """Where text came from that nobody has looked at: a model, a file, a command, the database, a person.

    Attributes:
        what: What it came from, with an article.
        span: The statement that brought it in.
    """

    what: str
    span: Span


@dataclass(frozen=True, slots=True)
class Binding:
    """A variable.

    Attributes:
        known: On how many ways it has a value.
        span: Where it got one.
        origins: Where text in it may have come from.
    """

    known: Known
    span: Span
    origins: frozenset[Origin] = frozenset()


@dataclass(slots=True)
class State:
    """What is known at a point.

    Attributes:
        variables: By name.
        ran: Whether a command has run.
        run: The command that ran last, if one did on every way.
        reachable: Whether the point can be reached at all.
    """

    variables: dict[str, Binding] = field(default_factory=dict)
    ran: Known = Known.NEVER
    run: Span | None = None
    reachable: bool = True

    def copy(self) -> State:
        """The same, to go on with separately."""
        return State(dict(self.variables), self.ran, self.run, self.reachable)

    def bind(self, name: str, span: Span, origins: Iterable[Origin] = ()) -> None:
        """Give a variable a value."""
        self.variables[name] = Binding(Known.ALWAYS, span, frozenset(origins))


def join(states: Iterable[State]) -> State:
    """What is known where several ways come together; ways that end before do not count."""
    ways = list(states)
    reached = [one for one in ways if one.reachable]
    if not reached:
        return replace(ways[0].copy(), reachable=False)
    joined = State()
    first, *others = (one.variables for one in reached)
    for name in dict.fromkeys(name for one in reached for name in one.variables):
        binding = first.get(name)
        if binding is not None and all(other.get(name) is binding for other in others):
            joined.variables[name] = binding  # nobody has touched it
            continue
        found = [one.variables[name] for one in reached if name in one.variables]
        always = len(found) == len(reached) and all(one.known is Known.ALWAYS for one in found)
        origins = frozenset().union(*(one.origins for one in found))
        joined.variables[name] = Binding(Known.ALWAYS if always else Known.SOMETIMES, found[0].span, origins)
    joined.ran = min(one.ran for one in reached) or (
        Known.SOMETIMES if any(one.ran for one in reached) else Known.NEVER
    )
    joined.run = reached[0].run if len({one.run for one in reached}) == 1 else None
    return joined
