from pathlib import Path

from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.analysis.imports import imported_tasks
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.parser import parse

FILES = {Path("dir/lib.tiss"): 'DEFINE_TASK "t" {\n}\nLOG 1', Path("dir/bad.tiss"): 'DEFINE_TASK "u" {\n}\nSTEP {'}


def read(path):
    if path not in FILES:
        raise ScriptError(f"{path} is not there")
    return SourceFile(FILES[path], str(path))


def imported(text):
    tasks, wrong = imported_tasks(parse(SourceFile(text, "dir/main.tiss")), read)
    return [one.title.plain for one in tasks], [one.message for one in wrong]


def test_tasks_are_found_from_the_folder_of_the_script():
    assert imported('IMPORT "lib.tiss"') == (["t"], [])


def test_what_cannot_be_imported_is_said_at_the_import():
    assert imported('IMPORT "none.tiss"\nIMPORT "{{x}}"\nIMPORT "bad.tiss"') == (
        ["u"],
        ["dir/none.tiss is not there", "the path of a script cannot have holes", "dir/bad.tiss has errors"],
    )
