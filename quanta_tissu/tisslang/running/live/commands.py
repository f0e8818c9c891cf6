"""Commands of the system, in the sandbox."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from quanta_tissu.tisslang.engine.effects import Effect, Outcome, RunCommand
from quanta_tissu.tisslang.engine.values import Value, as_text
from quanta_tissu.tisslang.journal.redaction import Redactor
from quanta_tissu.tisslang.running.live.filestate import FileState
from quanta_tissu.tisslang.sandbox.policy import Level, Policy
from quanta_tissu.tisslang.sandbox.run import run

Output = Callable[[str, bytes], None]

_LONGEST_VARIABLE = 128 * 1024 - 64  # what Linux lets one string of the environment have


def perform(
    effect: Effect,
    action: RunCommand,
    root: Path,
    policy: Policy,
    *,
    secrets: dict[str, str],
    redactor: Redactor,
    state: FileState,
    on_output: Output,
    cancelled: threading.Event,
) -> Outcome:
    """Run a command, and see what came of it.

    Args:
        effect: What it is for.
        action: It.
        root: The folder in which it runs.
        policy: How it is kept in where the script says nothing else.
        secrets: Variables of the environment that nobody may see.
        redactor: Hides them in what is written.
        state: The files of the folder.
        on_output: Gets what is written as it comes.
        cancelled: Ends it when it is set.

    Raises:
        SandboxError: It could not be run.
    """
    variables = {name: as_text(value) for name, value in action.variables.items()}
    for name, text in variables.items():
        if len(text.encode()) > _LONGEST_VARIABLE:
            said = f"the value for {name} has {len(text.encode()):,} bytes, which is too long for an argument"
            return Outcome(problem=("R214", said), help="WRITE it to a file, and give the command its path")
    level = Level(action.sandbox) if action.sandbox is not None else policy.level
    streams = {"stdout": redactor.stream(), "stderr": redactor.stream()}

    def written(stream: Literal["stdout", "stderr"], data: bytes) -> None:
        on_output(stream, streams[stream].feed(data))

    limits = [one for one in (action.timeout, effect.seconds_left) if one is not None]
    finished = run(
        as_text(action.command),
        root=root,
        policy=replace(policy, level=level, network=policy.network or action.network),
        timeout=min(limits) if limits else None,
        variables={**secrets, **variables},
        on_output=written,
        cancelled=cancelled,
    )
    for stream, redacted in streams.items():
        on_output(stream, redacted.finish())
    parts: dict[str, Value] = {
        "STDOUT": redactor.text(finished.stdout.decode(errors="replace")),
        "STDERR": redactor.text(finished.stderr.decode(errors="replace")),
        "EXIT_CODE": finished.exit_code,
        "EXECUTION_TIME": round(finished.seconds, 6),
    }
    files = state.changes()
    problem = help = None
    match finished.ended_by:
        case "cancelled":
            problem = ("R211", "the command was ended, because something else failed")
        case "timeout" if action.timeout is not None and finished.seconds >= action.timeout - 0.001:
            problem = ("R212", f"the command took more than {action.timeout:g} s, and was ended")
            help = "give it more time: TIMEOUT"
        case "timeout":
            problem = ("R205", "the time is over: the command was ended")
            help = "give SET_BUDGET EXECUTION_TIME more, or do less"
        case "output":
            problem = ("R214", "the command wrote more than it may, and was ended")
            help = "let it write to a file"
        case None:
            pass
    return Outcome(value=parts, problem=problem, help=help, seconds=finished.seconds, files=files)
