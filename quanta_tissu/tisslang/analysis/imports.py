"""The scripts that a script imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Label
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.parser import parse
from quanta_tissu.tisslang.syntax.tree import Script


def imported_tasks(
    script: Script, read: Callable[[Path], SourceFile]
) -> tuple[list[ast.DefineTask], list[Diagnostic]]:
    """The tasks that a script may call beside its own.

    Args:
        script: It; paths are seen from its folder.
        read: Reads a script; raises ScriptError if it cannot be read.

    Returns:
        The tasks, and what is wrong with importing them.
    """
    others, wrong = imported_scripts(script, read)
    return [task for other in others for task in other.statements if isinstance(task, ast.DefineTask)], wrong


def imported_scripts(script: Script, read: Callable[[Path], SourceFile]) -> tuple[list[Script], list[Diagnostic]]:
    """The scripts that a script imports, in order; and what is wrong with importing them."""
    others: list[Script] = []
    wrong: list[Diagnostic] = []
    folder = Path(script.source.name).parent
    for statement in script.statements:
        if not isinstance(statement, ast.Import):
            continue
        label = Label(statement.path.span)
        if (name := statement.path.plain) is None:
            wrong.append(Diagnostic("E114", "the path of a script cannot have holes", label))
            continue
        try:
            other = parse(read(folder / name))
        except ScriptError as error:
            wrong.append(Diagnostic("E114", error.message, label, help="paths are seen from the script's folder"))
            continue
        if not other.ok:
            hint = f"tissu lang check {other.source.name}"
            wrong.append(Diagnostic("E114", f"{other.source.name} has errors", label, help=hint))
        others.append(other)
    return others, wrong
