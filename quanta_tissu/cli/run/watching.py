"""What `tissu run` says while it runs: steps and effects for people, objects for programs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import click

from quanta_tissu.tisslang.engine.budgets import Usage
from quanta_tissu.tisslang.engine.effects import (
    AskModel,
    AskPerson,
    Begin,
    Commit,
    Discard,
    Effect,
    Notice,
    Outcome,
    RunCommand,
    TestFile,
)
from quanta_tissu.tisslang.engine.shell import as_shown
from quanta_tissu.tisslang.engine.values import as_text

_WIDTH = 72


class Progress:
    """Tells people how a run goes, on standard error; what LOG says goes to standard output.

    Args:
        verbose: Whether to show what commands and models write as they write it.
    """

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._lock = threading.Lock()
        self._begun: dict[str, float] = {}
        self._line_open = False
        self.usage = Usage()
        self.files: set[str] = set()
        self.replayed = 0
        self._started = time.monotonic()

    def notice(self, notice: Notice) -> None:
        """Something happened in the script."""
        with self._lock:
            match notice.kind:
                case "step.begin":
                    self._say(click.style(f"▸ {notice.data['title']}", bold=True))
                case "step.end":
                    done = notice.data["status"] == "done"
                    sign = click.style("✓", fg="green") if done else click.style("✗", fg="red")
                    self._say(f"  {sign} {_seconds(notice.data['seconds'])}")
                case "note":
                    self._end_line()
                    click.echo(notice.data["text"])
                case "decision" if notice.data["what"] == "RETRY":
                    attempt, of = notice.data["attempt"], notice.data["of"]
                    stuck = "; the same failure came back" if notice.data.get("stuck") else ""
                    self._say(f"    attempt {attempt} of {of} failed: {_cut(notice.data['condition'])}{stuck}")
                case "decision" if notice.data["what"] == "CATCH":
                    self._say(f"    caught {notice.data['code']}: {_cut(notice.data['condition'])}")

    def begin(self, effect: Effect) -> None:
        """An effect is begun."""
        with self._lock:
            self._begun[effect.key] = time.monotonic()
            if self._verbose and isinstance(effect.action, RunCommand | AskModel):
                self._say(f"    {described(effect)}")

    def end(self, effect: Effect, outcome: Outcome, replayed: bool) -> None:
        """It is over."""
        with self._lock:
            self.usage += outcome.usage
            self.files |= {one[1] for one in outcome.files}
            self.replayed += replayed
            if isinstance(effect.action, TestFile | AskPerson | Begin | Discard):
                return
            came = f"failed: {_cut(outcome.problem[1])}" if outcome.problem else _came(effect, outcome)
            sign = click.style("↺ ", dim=True) if replayed else ""
            shown = _seconds(outcome.seconds) if outcome.seconds >= 0.1 and not replayed else ""
            self._say(f"    {sign}{described(effect):<{_WIDTH}} {came:<12} {shown}".rstrip())

    def output(self, effect: Effect, stream: str, data: bytes) -> None:
        """A command or a model writes."""
        if not self._verbose:
            return
        with self._lock:
            for piece in data.decode(errors="replace").splitlines(keepends=True):
                if not self._line_open:
                    click.echo(click.style("    │ ", dim=True), err=True, nl=False)
                click.echo(
                    "".join(c for c in piece.rstrip("\r\n") if c.isprintable() or c == "\t"), err=True, nl=False
                )
                self._line_open = not piece.endswith("\n")
                if not self._line_open:
                    click.echo(err=True)

    def summary(self) -> str:
        """What it took, in a line."""
        parts = [_seconds(time.monotonic() - self._started)]
        if self.replayed:
            parts.append(f"{self.replayed} effect{'s' if self.replayed > 1 else ''} from the record")
        if self.usage.calls:
            calls = f"{self.usage.calls} model call{'s' if self.usage.calls > 1 else ''}"
            parts.append(
                f"{calls}, {self.usage.tokens:,} tokens" + (f", {self.usage.cost:g}" if self.usage.cost else "")
            )
        if self.files:
            parts.append(f"{len(self.files)} file{'s' if len(self.files) > 1 else ''} changed")
        return " · ".join(parts)

    def _say(self, text: str) -> None:
        self._end_line()
        click.echo(text, err=True)

    def _end_line(self) -> None:
        if self._line_open:
            click.echo(err=True)
            self._line_open = False


class Events:
    """Tells programs how a run goes: an object a line on standard output."""

    def __init__(self, write: Callable[[str], None] = click.echo) -> None:
        self._write = write
        self._lock = threading.Lock()

    def notice(self, notice: Notice) -> None:
        """Something happened in the script."""
        self.say(notice.kind, key=notice.key, line=notice.site.line, **notice.data)

    def begin(self, effect: Effect) -> None:
        """An effect is begun."""
        self.say("effect.intent", key=effect.key, op=effect.action.op, line=effect.site.line)

    def end(self, effect: Effect, outcome: Outcome, replayed: bool) -> None:
        """It is over."""
        problem = None if outcome.problem is None else {"code": outcome.problem[0], "message": outcome.problem[1]}
        self.say(
            "effect.result",
            key=effect.key,
            op=effect.action.op,
            line=effect.site.line,
            value=outcome.value,
            problem=problem,
            seconds=outcome.seconds,
            replayed=replayed,
            files=[list(one) for one in outcome.files],
        )

    def output(self, effect: Effect, stream: str, data: bytes) -> None:
        """A command or a model writes; its result says it whole."""

    def say(self, kind: str, **fields: Any) -> None:
        """Write an object."""
        with self._lock:
            self._write(json.dumps({"kind": kind, **fields}, ensure_ascii=False))


def described(effect: Effect) -> str:
    """An effect in a few words."""
    action = effect.action
    args = action.args()
    match action:
        case RunCommand(command=command, variables=variables):
            said = as_shown(as_text(command), [(name, as_text(value)) for name, value in variables.items()])
        case AskModel(prompt=prompt):
            said = as_text(prompt)
        case Commit():
            return "files of the step"
        case _:
            said = as_text(args.get("path") or args.get("collection") or args.get("query") or "")
    return _cut(f"{action.op} {said}")


def _came(effect: Effect, outcome: Outcome) -> str:
    value = outcome.value
    match effect.action:
        case RunCommand() if isinstance(value, dict):
            code = value["EXIT_CODE"]
            return "" if code == 0 else click.style(f"exit {code}", fg="yellow")
        case AskModel():
            return f"{outcome.usage.tokens:,} tokens"
        case Commit():
            return f"{len(outcome.files)} changed"
        case _:
            return ""


def _cut(text: str, most: int = _WIDTH) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
