from __future__ import annotations

from pathlib import Path

import pytest

from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.engine.program import read_program, thaw
from quanta_tissu.tisslang.source import SourceFile

MAIN = 'IMPORT "tools/one.tiss"\nTASK "Main" {\n    CALL "one"\n}\n'
ONE = 'IMPORT "two.tiss"\nDEFINE_TASK "one" {\n    LOG 1\n}\n'
TWO = 'DEFINE_TASK "two" {\n    LOG 2\n}\n'


def read(path: Path) -> SourceFile:
    files = {"tools/one.tiss": ONE, "tools/two.tiss": TWO}
    if str(path) not in files:
        raise ScriptError(f"{path} is not there")
    return SourceFile(files[str(path)], str(path))


def test_a_program_is_a_script_with_those_that_it_imports():
    program = read_program(SourceFile(MAIN, "main.tiss"), read)
    assert program.ok
    assert program.title == "Main"
    assert next(iter(program.sources())) == "main.tiss"
    assert "tools/one.tiss" in program.sources()


def test_it_is_called_after_its_file_if_it_has_no_task():
    assert read_program(SourceFile("LOG 1", "main.tiss"), read).title == "main.tiss"


def test_what_is_wrong_is_known_before_it_runs():
    program = read_program(SourceFile('IMPORT "none.tiss"\nLOG x', "main.tiss"), read)
    assert not program.ok
    assert {one.code for one in program.diagnostics} == {"E114", "E101"}


def test_a_frozen_program_is_the_same():
    program = read_program(SourceFile(MAIN, "main.tiss"), read)
    again = thaw(program.sources())
    assert again.ok
    assert again.sources() == program.sources()


def test_without_a_script_there_is_none():
    with pytest.raises(ScriptError):
        thaw({})


def test_what_was_not_frozen_is_not_read():
    assert not thaw({"main.tiss": MAIN}).ok
