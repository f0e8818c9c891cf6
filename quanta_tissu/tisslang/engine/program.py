"""A script with those that it imports: read, checked, and frozen when a run starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.analysis.checker import check
from quanta_tissu.tisslang.analysis.imports import imported_scripts
from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Severity, in_order
from quanta_tissu.tisslang.engine.exploring import Explorer
from quanta_tissu.tisslang.engine.interpreter import Interpreter
from quanta_tissu.tisslang.engine.values import Value
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.parser import parse
from quanta_tissu.tisslang.syntax.tree import Script


@dataclass(frozen=True, slots=True)
class Program:
    """A script that can be run.

    Attributes:
        main: It.
        others: Those that it imports.
        diagnostics: What is wrong with it.
    """

    main: Script
    others: tuple[Script, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether it can be run."""
        return not any(one.severity is Severity.ERROR for one in self.diagnostics)

    @property
    def title(self) -> str:
        """What its TASK is called; otherwise its name."""
        for one in self.main.statements:
            if isinstance(one, ast.Task) and one.title.plain:
                return one.title.plain
        return self.main.source.name

    def sources(self) -> dict[str, str]:
        """The texts by their names, this script first."""
        return {one.source.name: one.source.text for one in (self.main, *self.others)}

    def interpreter(self, settings: Mapping[str, Value] | None = None, *, exhaustive: bool = False) -> Interpreter:
        """Does it.

        Args:
            settings: What directives would say at its top.
            exhaustive: Whether to go all ways, because nothing is known yet.
        """
        tasks = {
            one.title.plain: (one, script.source)
            for script in (*self.others, self.main)
            for one in script.statements
            if isinstance(one, ast.DefineTask) and one.title.plain is not None
        }
        kind = Explorer if exhaustive else Interpreter
        header = {one.name.casefold(): one.value for one in self.main.header if one.name.casefold() == "language"}
        return kind(self.main.statements, self.main.source, tasks, settings={**header, **(settings or {})})


def read_program(source: SourceFile, read: Callable[[Path], SourceFile]) -> Program:
    """A script, with all that is wrong with it.

    Args:
        source: Its text.
        read: Reads what it imports; raises ScriptError if it cannot be read.
    """
    script = parse(source)
    others, missing = imported_scripts(script, read)
    tasks = [one for other in others for one in other.statements if isinstance(one, ast.DefineTask)]
    found = in_order([*script.diagnostics, *missing, *check(script, tasks)])
    return Program(script, tuple(others), tuple(found))


def thaw(sources: Mapping[str, str]) -> Program:
    """A script as it was when its run started.

    Raises:
        ScriptError: There is none.
    """
    files: Sequence[SourceFile] = [SourceFile(text, name) for name, text in sources.items()]
    if not files:
        raise ScriptError("the run has no script", hint="tissu audit says what is wrong with it")
    by_name = {str(Path(one.name)): one for one in files}

    def read(path: Path) -> SourceFile:
        if str(path) not in by_name:
            raise ScriptError(f"{path} was not kept with the run")
        return by_name[str(path)]

    return read_program(files[0], read)
