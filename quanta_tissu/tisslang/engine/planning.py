"""Effects of a script without doing any: the interpreter is told that nothing is known, and goes all ways."""

from __future__ import annotations

from typing import Any

from quanta_tissu.tisslang.engine.effects import (
    Begin,
    Commit,
    Discard,
    Doing,
    Effect,
    Fork,
    Outcome,
    ReadFile,
    RunCommand,
)
from quanta_tissu.tisslang.engine.values import Unknown, as_text


def effects_of(doing: Doing[Any]) -> list[Effect]:
    """All effects that an exhaustive interpreter asks for, in the order in which they are written.

    Raises:
        Failure: The script fails in any case.
    """
    found: list[Effect] = []
    _follow(doing, found)
    return found


def _follow(doing: Doing[Any], found: list[Effect]) -> Any:
    answer: Any = None
    while True:
        try:
            request = doing.send(answer)
        except StopIteration as stop:
            return stop.value
        match request:
            case Effect():
                if not isinstance(request.action, Begin | Commit | Discard):
                    found.append(request)
                answer = Outcome(value=_unknown(request))
            case Fork():
                answer = [_follow(branch, found) for branch in request.branches]
            case _:
                answer = None


def _unknown(effect: Effect) -> Unknown:
    match effect.action:
        case ReadFile(path=path):
            return Unknown(f"{{text of {as_text(path)}}}")
        case RunCommand():
            return Unknown("{LAST_RUN}")
        case action:
            return Unknown(f"{{{action.op}}}")
