"""The scripts that an editor has open, and those beside them: read, parsed and checked once for each change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lsprotocol import types as lsp
from pygls.uris import from_fs_path, to_fs_path

from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.analysis.checker import check
from quanta_tissu.tisslang.analysis.imports import imported_tasks
from quanta_tissu.tisslang.analysis.names import NameTable, names_of
from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, in_order
from quanta_tissu.tisslang.lsp.places import Places
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.parser import parse
from quanta_tissu.tisslang.syntax.tree import Script

MOST_FILES = 2000
"""Scripts of a folder that are looked at, when something is renamed in all of them."""

_PASSED_OVER = frozenset({"node_modules", "__pycache__", "venv"})


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a script.

    Attributes:
        uri: What the editor calls it.
        script: It, parsed.
        places: Its places, as the editor counts them.
        names: Its names.
    """

    uri: str
    script: Script
    places: Places
    names: NameTable

    @property
    def source(self) -> SourceFile:
        """Its text."""
        return self.script.source

    def location(self, span: Span) -> lsp.Location:
        """A place of it."""
        return lsp.Location(self.uri, self.places.range(span))


class Library:
    """Scripts by what the editor calls them.

    Attributes:
        encoding: In whose units the editor counts columns.
        folders: The folders that it works in.
        snippets: Whether it takes proposals with places to fill in.
    """

    def __init__(self) -> None:
        self.encoding: lsp.PositionEncodingKind | str = lsp.PositionEncodingKind.Utf16
        self.folders: list[Path] = []
        self.snippets = False
        self._open: dict[str, tuple[str, str]] = {}  # what the editor calls it, and its text
        self._known: dict[str, tuple[str, Known]] = {}

    # --- what is open --------------------------------------------------------------------------------------------

    def put(self, uri: str, text: str) -> None:
        """Note the text of a script that is open."""
        self._open[_canonical(uri)] = (uri, text)

    def close(self, uri: str) -> None:
        """Note that a script is closed: what counts is the file again."""
        self._open.pop(_canonical(uri), None)

    @property
    def opened(self) -> list[str]:
        """What is open."""
        return [uri for uri, _ in self._open.values()]

    # --- what is known -------------------------------------------------------------------------------------------

    def known(self, uri: str) -> Known:
        """What is known of a script.

        Raises:
            ScriptError: It is not open and cannot be read.
        """
        uri = _canonical(uri)
        called, text = self._open.get(uri) or (uri, _read(uri))
        cached = self._known.get(uri)
        if cached is not None and cached[0] == text and cached[1].uri == called:
            return cached[1]
        script = parse(SourceFile(text, to_fs_path(uri) or uri))
        known = Known(called, script, Places(text, self.encoding), names_of(script))
        self._known[uri] = (text, known)
        return known

    def diagnostics(self, known: Known) -> list[Diagnostic]:
        """All that is wrong with a script."""
        tasks, missing = imported_tasks(known.script, lambda path: self.known(_uri(path)).source)
        return in_order([*known.script.diagnostics, *missing, *check(known.script, tasks)])

    # --- tasks, which may be in other scripts --------------------------------------------------------------------

    def imports(self, known: Known) -> Iterator[tuple[ast.Import, str]]:
        """The scripts that one imports, as far as their paths are written out."""
        folder = Path(known.source.name).parent
        for statement in known.script.statements:
            if isinstance(statement, ast.Import) and (name := statement.path.plain):
                yield statement, _uri(folder / name)

    def task(self, known: Known, title: str) -> tuple[Known, ast.DefineTask] | None:
        """The DEFINE_TASK that a name means in a script, and the script that it stands in."""
        for task in known.names.tasks:
            if task.title.plain == title:
                return known, task
        for _, uri in reversed(list(self.imports(known))):
            try:
                other = self.known(uri)
            except ScriptError:
                continue
            for task in reversed(other.names.tasks):
                if task.title.plain == title:
                    return other, task
        return None

    def tasks(self, known: Known) -> dict[str, ast.DefineTask]:
        """All tasks that a script may call, by name."""
        titles = [task.title.plain for task in known.names.tasks]
        for _, uri in self.imports(known):
            try:
                titles += [task.title.plain for task in self.known(uri).names.tasks]
            except ScriptError:
                continue
        found = ((title, self.task(known, title)) for title in titles if title is not None)
        return {title: task[1] for title, task in found if task is not None}

    def importers(self, uri: str) -> Iterator[Known]:
        """The scripts, open or in the editor's folders, that import one."""
        uri = _canonical(uri)
        for other in dict.fromkeys((*self._open, *self._files())):
            try:
                known = self.known(other)
            except ScriptError:
                continue
            if other != uri and any(one == uri for _, one in self.imports(known)):
                yield known

    def _files(self) -> Iterator[str]:
        count = 0
        for folder in self.folders:
            for root, folders, files in os.walk(folder):
                folders[:] = sorted(one for one in folders if one not in _PASSED_OVER and not one.startswith("."))
                for name in sorted(files):
                    if name.endswith(".tiss"):
                        yield _uri(Path(root, name))
                        count += 1
                        if count == MOST_FILES:
                            return


def _read(uri: str) -> str:
    path = to_fs_path(uri) or uri
    try:
        return Path(path).read_bytes().decode()
    except OSError as error:
        raise ScriptError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ScriptError(f"{path} is not UTF-8") from error


def _uri(path: Path) -> str:
    return from_fs_path(os.path.abspath(path)) or str(path)


def _canonical(uri: str) -> str:
    """One name for each file, however an editor escapes it."""
    path = to_fs_path(uri)
    return uri if path is None else _uri(Path(path))
